//! Findings that need a clock or a fault that no real neighbour has. The others are end-to-end tests.

use std::time::Instant;

use async_trait::async_trait;
use domain::notification::EventType;
use ports::outbound::{
    BodyPart, BusFault, MockClock, ProbeBody, ProbeFault, ProbeResponse, RegistryUnavailable, StoreTest,
};

use super::*;

/// The time of this machine.
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A bus that is `ahead` of this machine, and does not remove events.
struct Bus {
    ahead: i64,
}

#[async_trait]
impl BusProbe for Bus {
    async fn connect(&self) -> Result<String, BusFault> {
        Ok("NATS".into())
    }

    async fn stores(&self) -> Vec<StoreTest> {
        vec![StoreTest { name: "sse-resume", is_optional: true, outcome: Err(BusFault::Missing) }]
    }

    async fn unix_time(&self) -> Result<Duration, BusFault> {
        Ok(Duration::from_secs(NOW.as_secs().saturating_add_signed(self.ahead)))
    }

    async fn publish(&self, _user: &UserId, _type: &EventType, _content: &str) -> Result<u64, BusFault> {
        Ok(1)
    }

    async fn remove(&self, _sequence: u64) -> Result<(), BusFault> {
        Err(BusFault::Denied("NATS does not permit it".into()))
    }
}

/// A registry that cannot be read.
struct Unreadable;

#[async_trait]
impl RegistryProbe for Unreadable {
    async fn instances(&self) -> Result<Vec<ports::outbound::RegisteredInstance>, RegistryUnavailable> {
        Err(RegistryUnavailable { reason: "NATS does not permit it".into() })
    }
}

/// A server with this status and this version of the service, whose responses end at once.
struct Server {
    status: u16,
    version: Option<&'static str>,
}

#[async_trait]
impl StreamProbe for Server {
    async fn get(&self, _request: &ProbeRequest) -> Result<ProbeResponse, ProbeFault> {
        Ok(ProbeResponse {
            connection: "here".into(),
            status: self.status,
            headers: self
                .version
                .map(|version| (VERSION_HEADER.to_owned(), version.to_owned()))
                .into_iter()
                .collect(),
            date: None,
            waited: Duration::ZERO,
            body: Box::new(Ended),
        })
    }
}

struct Ended;

#[async_trait]
impl ProbeBody for Ended {
    async fn next(&mut self) -> BodyPart {
        BodyPart::End(None)
    }
}

async fn findings(ahead: i64, server: Server) -> Vec<Finding> {
    let mut clock = MockClock::new();
    clock.expect_unix_time().return_const(NOW);
    clock.expect_now().returning(Instant::now);
    let diagnosis = Diagnosis {
        bus: Arc::new(Bus { ahead }),
        registry: Some(Arc::new(Unreadable)),
        streams: Arc::new(server),
        clock: Arc::new(clock),
        instance: Instance {
            url: "http://here".into(),
            debug_url: "http://here".into(),
            root: String::new(),
            service_name: PLATFORM_NAMES[0].into(),
            keepalive: Duration::ZERO,
        },
        public: None,
        user: UserId::try_new("nobody").expect("an id"),
        token: "token".into(),
    };
    let mut findings = Vec::new();
    diagnosis.run(&mut |finding| findings.push(finding)).await;
    findings
}

/// Returns the verdict on a check, and what was seen.
fn verdict<'a>(findings: &'a [Finding], check: &str) -> (Verdict, &'a str) {
    let found = findings.iter().find(|finding| finding.check == check).expect("a finding");
    (found.verdict, &found.seen)
}

#[tokio::test]
async fn clock_of_nats_is_compared() {
    for (ahead, expected) in [
        (0, (Verdict::Ok, "the clock of NATS agrees with this machine's")),
        (-5, (Verdict::Ok, "the clock of NATS agrees with this machine's")),
        (3600, (Verdict::Failed, "the clock of NATS is 3600 s ahead of this machine's")),
        (-3600, (Verdict::Failed, "the clock of NATS is 3600 s behind this machine's")),
    ] {
        let findings = findings(ahead, Server { status: 200, version: Some("1") }).await;
        assert_eq!(verdict(&findings, "nats.clock"), expected);
    }
}

#[tokio::test]
async fn missing_bucket_is_a_warning() {
    let findings = findings(0, Server { status: 200, version: Some("1") }).await;
    let expected = (Verdict::Warning, "sse-resume: it does not exist");
    assert_eq!(verdict(&findings, "nats.stores"), expected);
    assert_eq!(verdict(&findings, "registry").0, Verdict::Skipped);
}

#[tokio::test]
async fn stream_that_ends_before_the_event_is_a_fault() {
    let findings = findings(0, Server { status: 200, version: Some("1") }).await;
    let expected = "an event was published and the stream ended before it arrived";
    assert_eq!(verdict(&findings, "event"), (Verdict::Failed, expected));
}

#[tokio::test]
async fn answers_of_the_instance_are_told_apart() {
    for (status, version, seen) in [
        (401, Some("1"), "the instance rejected a token"),
        (404, Some("1"), "answered 404"),
        (503, Some("1"), "answered 503"),
        (401, None, "not as ocis-sse"),
        (200, None, "not as ocis-sse"),
    ] {
        let findings = findings(0, Server { status, version }).await;
        let (verdict, text) = verdict(&findings, "stream");
        assert_eq!(verdict, Verdict::Failed, "{status}");
        assert!(text.contains(seen), "{text}");
    }
}
