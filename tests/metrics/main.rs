//! The values of metrics after known events: the use cases with the Prometheus metrics, on a paused clock.
//!
//! Each step states which samples of the whole page it changes, and their new values. The end-to-end tests cover the
//! metrics of the source, the tokens and the HTTP server.

mod events;
mod nats;
mod streams;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::{
    inbound::http::EventFrames,
    outbound::{
        embedded::{EmbeddedPreferences, EmbeddedStore},
        otlp::TraceContext,
        prometheus::PrometheusMetrics,
    },
};
use domain::{
    identity::{IssuedAt, Principal, UserId},
    language::LanguageTag,
    log::{LogLimits, StreamLimits},
    notification::{EventId, EventType, Incarnation, Notification},
};
use ocis_sse::use_cases::{LanguageChoices, Relay, Status, StreamPolicy, Subscriptions};
use ports::{
    inbound::{EventStream, MockConnection, StreamRequest, Subscribe as _, SubscribeError},
    outbound::{Clock, MessageMetadata, SourceEvent},
};

const POLICY: StreamPolicy = StreamPolicy {
    limits: StreamLimits { total: 1000, per_user: 1000 },
    log: LogLimits { max_age: Duration::from_mins(1), max_bytes: usize::MAX },
    resume_window: Duration::ZERO,
    unacknowledged: Duration::ZERO,
    keepalive: None,
    max_age: None,
    reconnection_time: None,
    drain_rate: None,
    close_on_logout: true,
    replace_streams: true,
};

/// The runtime's paused clock. Its wall clock starts at 1970.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Instant {
        now()
    }

    fn unix_time(&self) -> Duration {
        now() - self.0
    }
}

#[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is asked")]
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The use cases and their metrics.
struct Service {
    subscriptions: Subscriptions,
    relay: Relay,
    metrics: Arc<PrometheusMetrics>,
    sequence: u64,
    /// The samples when they were last read.
    seen: BTreeSet<String>,
}

type Stream = Box<dyn EventStream>;

impl Service {
    /// Starts the use cases with an event source that has no event yet.
    async fn start(policy: StreamPolicy) -> Self {
        let mut service = Self::before_nats(policy);
        // Streams wait until the languages are loaded.
        tokio::spawn(service.relay.languages.clone().follow());
        run_until_idle().await;
        service.relay.handle(SourceEvent::Resync { after: id(0) });
        service.relay.handle(SourceEvent::Subscribed);
        service.forget();
        service
    }

    fn before_nats(policy: StreamPolicy) -> Self {
        let (clock, metrics) = (Arc::new(PausedClock(now())), Arc::new(PrometheusMetrics::new("1.2.3")));
        let subscriptions = Subscriptions::new(
            policy,
            LanguageTag::default(),
            Arc::new(EventFrames),
            metrics.clone(),
            clock.clone(),
            None,
        );
        let preferences = Arc::new(EmbeddedPreferences::new(EmbeddedStore::default(), clock.clone()));
        let languages = LanguageChoices { subscriptions: subscriptions.clone(), preferences };
        let relay = Relay {
            subscriptions: subscriptions.clone(),
            languages: languages.clone(),
            metrics: metrics.clone(),
            clock,
            status: Arc::new(Status::default()),
            traces: Arc::new(TraceContext),
        };
        let seen = samples(&metrics);
        Self { subscriptions, relay, metrics, sequence: 0, seen }
    }

    /// Asserts that exactly these samples have changed since they were last read.
    #[track_caller]
    fn changes<S: ToString>(&mut self, expected: impl IntoIterator<Item = S>) {
        let samples = samples(&self.metrics);
        let changed: Vec<_> = samples.difference(&self.seen).cloned().collect();
        let mut expected: Vec<_> = expected.into_iter().map(|sample| sample.to_string()).collect();
        expected.sort_unstable();
        assert_eq!(changed, expected);
        self.seen = samples;
    }

    /// Ignores all changes so far.
    fn forget(&mut self) {
        self.forget_all_but("nothing");
    }

    /// Ignores all changes so far, except those of one metric.
    fn forget_all_but(&mut self, metric: &str) {
        let is_kept = |sample: &&String| sample.starts_with(metric);
        let kept: Vec<_> = self.seen.iter().filter(is_kept).cloned().collect();
        self.seen = samples(&self.metrics);
        self.seen.retain(|sample| !is_kept(&sample));
        self.seen.extend(kept);
    }

    /// Returns the changed samples of a histogram of these `values`.
    fn histogram(&self, Histogram { name, bounds }: Histogram, values: &[f64]) -> Vec<String> {
        let within = |bound: f64| values.iter().filter(|value| **value <= bound).count();
        let bucket = |bound: String, count| format!("{name}_bucket{{le=\"{bound}\"}} {count}");
        let mut samples: Vec<_> =
            bounds.iter().map(|bound| bucket(format!("{bound:?}"), within(*bound))).collect();
        samples.push(bucket("+Inf".into(), values.len()));
        samples.push(format!("{name}_sum {:?}", values.iter().sum::<f64>()));
        samples.push(format!("{name}_count {}", values.len()));
        samples.retain(|sample| !self.seen.contains(sample));
        samples
    }

    /// Runs the periodic work on all streams once.
    async fn sweep(&self) {
        let maintenance = tokio::spawn(self.subscriptions.clone().maintain());
        run_until_idle().await;
        maintenance.abort();
    }

    fn try_open(&self, request: StreamRequest) -> Result<Stream, SubscribeError> {
        let mut connection = MockConnection::new();
        connection.expect_wake().return_const(true);
        connection.expect_finish().return_const(());
        self.subscriptions.subscribe(request, Arc::new(connection)).map(|subscription| subscription.stream)
    }

    /// Opens a stream for each of these requests.
    fn open(&self, requests: impl IntoIterator<Item = StreamRequest>) -> Vec<Stream> {
        requests
            .into_iter()
            .map(|request| self.try_open(request).unwrap_or_else(|_| panic!("the stream is rejected")))
            .collect()
    }

    /// Publishes an event that has been in NATS for `age`.
    fn publish(&mut self, users: &[&str], event_type: &str, age: Duration) {
        self.sequence += 1;
        let notification = Notification {
            id: id(self.sequence),
            recipients: users.iter().map(|name| user(name)).collect(),
            event_type: EventType::try_new(event_type).expect("an event type"),
            content: "x".into(),
            session_id: None,
        };
        self.relay.handle(SourceEvent::Notification {
            notification,
            age,
            metadata: MessageMetadata::default(),
        });
    }
}

/// Returns all samples except those of the process.
fn samples(metrics: &PrometheusMetrics) -> BTreeSet<String> {
    let page = metrics.render();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let ours = samples.filter(|line| !line.starts_with("process_") && !line.starts_with("sse_tasks "));
    ours.map(str::to_owned).collect()
}

/// A histogram and the bounds of its buckets.
#[derive(Clone, Copy)]
struct Histogram {
    name: &'static str,
    bounds: &'static [f64],
}

const LATENCY: Histogram = Histogram {
    name: "sse_delivery_latency_seconds",
    bounds: &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0],
};
const NOTHING: [&str; 0] = [];

/// Returns a request with a token that never expires.
fn request(name: &str) -> StreamRequest {
    let principal = Principal {
        user: user(name),
        issued_at: IssuedAt::UNKNOWN,
        expires_at: Duration::MAX,
        session_id: None,
    };
    StreamRequest { principal, last_event_id: None, request: None, accept_language: None, types: None }
}

/// Returns a request of a client that reconnects.
fn after(name: &str, last_event_id: &impl ToString) -> StreamRequest {
    StreamRequest { last_event_id: Some(last_event_id.to_string()), ..request(name) }
}

fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(1), sequence }
}

fn user(name: &str) -> UserId {
    UserId::try_new(name).expect("a user id")
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs all tasks as far as they get without time passing.
async fn run_until_idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
