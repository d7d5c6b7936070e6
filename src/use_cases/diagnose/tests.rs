//! Findings that need a clock or a fault that no real neighbour has. The others are end-to-end tests.

use std::time::Instant;

use async_trait::async_trait;
use domain::notification::EventType;
use parking_lot::Mutex;
use ports::outbound::{
    BodyPart, BusFault, ProbeBody, ProbeFault, ProbeResponse, RegisteredInstance, StoreTest,
};

use super::*;

/// The time of this machine.
const NOW: Duration = Duration::from_hours(500_000);

/// A clock whose wall time stands still.
struct Fixed;

impl Clock for Fixed {
    #[expect(clippy::disallowed_methods, reason = "durations do not matter in these tests")]
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn unix_time(&self) -> Duration {
        NOW
    }
}

/// A bus that is `ahead` of this machine.
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

    async fn publish(&self, _user: &UserId, _type: &EventType, _content: &str) -> Result<(), BusFault> {
        Ok(())
    }
}

/// The names of the service in the registries of the two platforms.
const NAMES: [&str; 2] = ["one.sse", "other.sse"];

/// A registry with one instance, at a loopback address.
struct Registry;

#[async_trait]
impl RegistryProbe for Registry {
    async fn instances(&self) -> Result<Vec<RegisteredInstance>, BusFault> {
        let (service, address) = (NAMES[0].into(), "127.0.0.1:9135".into());
        Ok(vec![RegisteredInstance { service, address, uses_tls: false }])
    }

    fn permissions(&self) -> &'static str {
        ""
    }
}

/// A server with this status and this version of the service, whose responses have this text.
#[derive(Default)]
struct Server {
    status: u16,
    version: Option<&'static str>,
    text: &'static str,
    requests: Mutex<Vec<ProbeRequest>>,
}

impl Server {
    fn answering(status: u16, version: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { status, version, ..Self::default() })
    }
}

#[async_trait]
impl StreamProbe for Server {
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeResponse, ProbeFault> {
        self.requests.lock().push(request.clone());
        let version = self.version.map(|version| (VERSION_HEADER.to_owned(), version.to_owned()));
        let language = self.version.map(|_| ("content-language".to_owned(), "en".to_owned()));
        Ok(ProbeResponse {
            connection: "here".into(),
            status: self.status,
            headers: version.into_iter().chain(language).collect(),
            date: None,
            body: Box::new(Text(Some(self.text.to_owned()))),
        })
    }
}

/// A body with one text.
struct Text(Option<String>);

#[async_trait]
impl ProbeBody for Text {
    async fn next(&mut self) -> BodyPart {
        self.0.take().map_or(BodyPart::End(None), BodyPart::Text)
    }
}

fn diagnosis(ahead: i64, server: &Arc<Server>) -> Diagnosis {
    Diagnosis {
        bus: Arc::new(Bus { ahead }),
        registry: Some(Arc::new(Registry)),
        streams: server.clone(),
        clock: Arc::new(Fixed),
        instance: Instance {
            url: "http://here".into(),
            debug_url: "http://here".into(),
            root: String::new(),
            service_name: NAMES[0].into(),
            platform_names: NAMES,
            nats: vec!["nats://127.0.0.1:9233".into()],
            keepalive: Duration::ZERO,
        },
        public: None,
        user: UserId::try_new("nobody").expect("an id"),
        token: "own-token".into(),
    }
}

async fn findings_of(diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut findings = Vec::new();
    diagnosis.run(&mut |finding| findings.push(finding)).await;
    findings
}

async fn findings(ahead: i64, server: &Arc<Server>) -> Vec<Finding> {
    findings_of(&diagnosis(ahead, server)).await
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
        let findings = findings(ahead, &Server::answering(200, Some("1"))).await;
        assert_eq!(verdict(&findings, "nats.clock"), expected);
    }
}

#[tokio::test]
async fn missing_bucket_is_a_warning() {
    let findings = findings(0, &Server::answering(200, Some("1"))).await;
    let expected = (Verdict::Warning, "sse-resume: it does not exist");
    assert_eq!(verdict(&findings, "nats.stores"), expected);
}

#[tokio::test]
async fn stream_that_ends_before_the_event_is_a_fault() {
    let findings = findings(0, &Server::answering(200, Some("1"))).await;
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
        let findings = findings(0, &Server::answering(status, version)).await;
        let (verdict, text) = verdict(&findings, "stream");
        assert_eq!(verdict, Verdict::Failed, "{status}");
        assert!(text.contains(seen), "{text}");
    }
}

#[tokio::test]
async fn loopback_address_of_another_machine_is_a_warning() {
    let server = Server::answering(401, Some("1"));
    let mut diagnosis = diagnosis(0, &server);
    assert_eq!(verdict(&findings_of(&diagnosis).await, "registry").0, Verdict::Ok);
    diagnosis.instance.nats = vec!["nats://127.0.0.1:9233".into(), "nats://nats:4222".into()];
    let findings = findings_of(&diagnosis).await;
    let (verdict, seen) = verdict(&findings, "registry");
    assert_eq!(verdict, Verdict::Warning);
    assert!(seen.ends_with("is at 127.0.0.1:9135, but NATS is on another machine"), "{seen}");
}

#[tokio::test]
async fn registered_instance_has_to_reject_a_request_without_a_token() {
    let findings = findings(0, &Server::answering(404, Some("1"))).await;
    assert_eq!(verdict(&findings, "registry").0, Verdict::Failed);
}

#[tokio::test]
async fn tokens_go_only_where_nobody_else_reads_them() {
    for (url, verify, access_token, sent) in [
        ("https://cloud.example", true, None, Some("own-token")),
        ("https://cloud.example", false, None, None),
        ("http://cloud.example", true, None, None),
        ("http://127.0.0.1.example", true, None, None),
        ("http://127.0.0.1:80", false, None, Some("own-token")),
        ("http://localhost", true, None, Some("own-token")),
        ("http://localhost.example", true, None, None),
        ("https://cloud.example", false, Some("access"), Some("Bearer access")),
        ("http://cloud.example", true, Some("access"), None),
    ] {
        let server = Server::answering(401, Some("1"));
        let mut diagnosis = diagnosis(0, &server);
        let access_token = access_token.map(ToOwned::to_owned);
        diagnosis.public = Some(PublicName { url: url.into(), verify, access_token, idle: None });
        findings_of(&diagnosis).await;
        let requests = server.requests.lock();
        let public = requests.iter().filter(|request| request.url.starts_with(url));
        let tokens: Vec<_> = public
            .flat_map(|request| &request.headers)
            .filter(|(name, _)| ["authorization", "x-access-token"].contains(name))
            .map(|(_, token)| token.as_str())
            .collect();
        match sent {
            None => assert_eq!(tokens, [""; 0], "{url}"),
            Some(sent) => {
                assert!(tokens.contains(&sent) && tokens.iter().all(|token| *token == sent), "{url}");
            }
        }
    }
}

#[tokio::test]
async fn public_server_cannot_choose_all_users() {
    let server = Server { status: 200, version: Some("1"), text: r#"{"id":"all"}"#, ..Server::default() };
    let mut diagnosis = diagnosis(0, &Arc::new(server));
    let (url, access_token) = ("https://cloud.example".into(), Some("access".into()));
    diagnosis.public = Some(PublicName { url, verify: true, access_token, idle: None });
    let findings = findings_of(&diagnosis).await;
    assert_eq!(verdict(&findings, "public.user").0, Verdict::Failed);
    assert_eq!(verdict(&findings, "public.events").0, Verdict::Skipped);
}

#[test]
fn foreign_texts_are_printable_and_short() {
    let finding = Finding::ok("ready", format!("a\u{1b}[31m\nb\u{202e}c{}", "x".repeat(1000)));
    assert!(finding.seen.starts_with("a [31m b cxxx"), "{finding:?}");
    assert_eq!(finding.seen.chars().count(), 500);
}
