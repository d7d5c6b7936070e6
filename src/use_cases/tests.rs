//! Tests of the use cases with fakes and mocks, on the paused clock of the runtime, which skips waiting times.
#![expect(clippy::disallowed_methods, reason = "the tests read the paused clock of the runtime")]

mod accounts;
mod announcement;
mod client;
mod delivery;
mod drain;
mod fakes;
mod hand_over;
mod history_off;
mod inspection;
mod languages;
mod latency;
mod lifetime;
mod limits;
mod logout;
mod model;
mod nats;
mod pace;
mod policy;
mod request_id;
mod returning;
mod slow_client;
mod threads;
mod types;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::{
    bookmark::RequestId,
    content::Content,
    gap::GapReason,
    identity::{IssuedAt, Principal, SessionId, UserId},
    keepalive::KeepalivePolicy,
    language::{LanguageChoice, LanguagePriorityList, LanguageTag},
    log::{EndReason, LATE_AFTER, LogLimits, StreamLimits},
    notification::{EventId, EventType, Incarnation, Notification, Recipients},
};
use mockall::predicate::eq;
use parking_lot::Mutex;
use ports::{
    Frame,
    inbound::{NotReady, Readiness as _, StreamRequest, Subscribe as _, SubscribeError},
    outbound::{
        BookmarkExchange, Frames, MessageMetadata, MockFrames, MockMetrics, NotStored, Outcome,
        RegistryUnavailable, ServiceRegistry, SourceEvent,
    },
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{
    client::{Client, FakeConnection},
    fakes::{
        FakeExchange, FakePreferences, FakeSource, NoTraces, PLAIN_FRAMES, PausedClock, any_metrics, now,
        plain_metrics,
    },
};
use super::*;

/// The use cases, with a fake NATS that they read.
struct Service {
    subscriptions: Subscriptions,
    languages: LanguageChoices,
    preferences: Arc<FakePreferences>,
    status: Arc<Status>,
    clock: Arc<PausedClock>,
    nats: mpsc::UnboundedSender<SourceEvent>,
    sequence: u64,
    stop: CancellationToken,
    relay: JoinHandle<()>,
    /// Dropped by the test, so that unmet expectations of a mock fail in the thread of the test.
    frames: Arc<dyn Frames>,
}

/// A policy with generous limits.
const POLICY: StreamPolicy = StreamPolicy {
    limits: StreamLimits { total: usize::MAX, per_user: usize::MAX },
    log: LogLimits { max_age: Duration::from_mins(5), max_bytes: usize::MAX },
    resume_window: Duration::from_mins(2),
    unacknowledged: Duration::from_mins(1),
    keepalive: None,
    max_age: None,
    reconnection_time: None,
    drain_rate: None,
    close_on_logout: true,
    replace_streams: false,
};

impl Service {
    /// Starts the service with a connection to NATS.
    async fn start(policy: StreamPolicy) -> Self {
        Self::start_with(policy, any_metrics(), PLAIN_FRAMES).await
    }

    async fn start_with(policy: StreamPolicy, metrics: MockMetrics, frames: impl Frames + 'static) -> Self {
        let service = Self::before_nats(policy, metrics, frames);
        service.connect_nats().await;
        service
    }

    fn before_nats(policy: StreamPolicy, metrics: MockMetrics, frames: impl Frames + 'static) -> Self {
        Self::with_exchange(policy, metrics, frames, None)
    }

    /// Starts the service without a connection to NATS. With an `exchange` it is one of several instances.
    fn with_exchange(
        policy: StreamPolicy,
        mut metrics: MockMetrics,
        frames: impl Frames + 'static,
        exchange: Option<Arc<dyn BookmarkExchange>>,
    ) -> Self {
        metrics.expect_bucket_available().return_const(());
        let (metrics, clock) = (Arc::new(metrics), Arc::new(PausedClock::default()));
        let frames: Arc<dyn Frames> = Arc::new(frames);
        let subscriptions = Subscriptions::new(
            policy,
            LanguageTag::default(),
            frames.clone(),
            metrics.clone(),
            clock.clone(),
            exchange,
        );
        subscriptions.languages_up_to_date();
        let preferences = Arc::new(FakePreferences::default());
        let languages =
            LanguageChoices { subscriptions: subscriptions.clone(), preferences: preferences.clone() };
        let status = Arc::new(Status::default());
        let (nats, source) = mpsc::unbounded_channel();
        let relay = Relay {
            subscriptions: subscriptions.clone(),
            languages: languages.clone(),
            metrics,
            clock: clock.clone(),
            status: Arc::clone(&status),
            traces: Arc::new(NoTraces),
        };
        let stop = CancellationToken::new();
        let relay = tokio::spawn(relay.run(Box::new(FakeSource(source)), stop.clone().cancelled_owned()));
        Self { subscriptions, languages, preferences, status, clock, nats, sequence: 0, stop, relay, frames }
    }

    async fn connect_nats(&self) {
        self.receive(SourceEvent::Resync { after: id(0) });
        self.receive(SourceEvent::Subscribed);
        run_until_idle().await;
    }

    fn publish(&mut self, users: &[&str], content: &str) {
        self.publish_of(users, "t", content, Duration::ZERO);
    }

    /// Publishes an event that arrives `age` after its publication.
    fn publish_of(&mut self, users: &[&str], event_type: &str, content: impl Into<Content>, age: Duration) {
        self.sequence += 1;
        let notification = notification(self.sequence, users, event_type, content);
        self.receive(SourceEvent::Notification { notification, age, metadata: MessageMetadata::default() });
    }

    fn receive(&self, event: SourceEvent) {
        self.nats.send(event).expect("the relay runs");
    }

    /// Stops the relay, and fails if it has panicked or if a mock has unmet expectations.
    async fn stop(self) {
        self.stop.cancel();
        self.relay.await.expect("no panic in the relay");
        assert!(self.nats.is_closed(), "the source was closed");
        drop(self.frames);
    }

    fn open(&self, name: &str) -> Client {
        self.try_open(request(name)).expect("a stream")
    }

    fn try_open(&self, request: StreamRequest) -> Result<Client, SubscribeError> {
        let connection = Arc::<FakeConnection>::default();
        let subscription = self.subscriptions.subscribe(request, connection.clone())?;
        Ok(Client::new(subscription, connection))
    }

    /// Returns the sequences of the events in the log.
    fn held(&self) -> Vec<u64> {
        self.subscriptions.recent_events(None, usize::MAX).iter().map(|event| event.id.sequence).collect()
    }
}

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

/// Returns a request with a last event id.
#[expect(clippy::needless_pass_by_value, reason = "most callers pass a temporary")]
fn after(name: &str, last_event_id: impl ToString) -> StreamRequest {
    StreamRequest { last_event_id: Some(last_event_id.to_string()), ..request(name) }
}

/// Returns a request with the request id `tab`, from a client that sends no last event id.
fn tab(name: &str, tab: &str) -> StreamRequest {
    StreamRequest { request: Some(RequestId::try_new(tab).expect("a request id")), ..request(name) }
}

/// Returns the text of [`PLAIN_FRAMES`] for a gap.
fn gap(reason: GapReason, last: impl std::fmt::Display, position: EventId) -> String {
    format!("{reason:?} after {last}, at {position}")
}

fn notification(
    sequence: u64,
    users: &[&str],
    event_type: &str,
    content: impl Into<Content>,
) -> Notification {
    let event_type = EventType::try_new(event_type).expect("an event type");
    let recipients = match users {
        ["everyone"] => Recipients::Everyone,
        users => users.iter().map(|name| user(name)).collect(),
    };
    Notification { id: id(sequence), recipients, event_type, content: content.into(), session_id: None }
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

/// Returns a content that fills a turn of a stream with spaces, which clients remove.
fn large(content: impl std::fmt::Display) -> String {
    format!("{content}{}", " ".repeat(64 * 1024))
}

const NOTHING: [&str; 0] = [];

/// Runs all tasks until they wait for time to pass.
async fn run_until_idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
