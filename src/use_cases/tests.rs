//! The use cases over fakes and mocks, on the runtime's paused clock: whole seconds of waiting pass in no time.
#![expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is asked")]

mod announcement;
mod coming_and_going;
mod delivery;
mod inspection;
mod languages;
mod lives;
mod returning;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::{
    content::{Content, Version},
    fanout::StreamLimits,
    history::{Gap, HistoryLimits},
    identity::{Principal, UserId},
    keepalive::KeepalivePolicy,
    language::{LanguageChoice, LanguagePriorityList, LanguageTag},
    notification::{EventId, EventType, Incarnation, Notification},
    patience::Patience,
};
use mockall::predicate::eq;
use parking_lot::Mutex;
use ports::{
    inbound::{NotReady, Readiness as _, Refused, StreamRequest, Subscribe as _, Subscription},
    outbound::{
        BookmarkExchange, Clock, EndReason, EventSource, Frame, Frames, HeardLanguage, LanguagePreferences,
        MockFrames, MockMetrics, MockServiceRegistry, NotStored, Offer, Origin, Outbox, Outcome,
        RegistryUnavailable, ServiceRegistry, SourceEvent, Traces,
    },
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::*;

const GRACE: Duration = Duration::from_millis(250);

struct NoTraces;

impl Traces for NoTraces {
    fn continue_from(&self, _: &tracing::Span, _: Origin) {}
}

struct PausedClock;

impl Clock for PausedClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn since_1970(&self) -> Duration {
        Duration::ZERO
    }
}

/// A bus that says what a test tells it to.
struct FakeSource(mpsc::UnboundedReceiver<SourceEvent>);

#[async_trait]
impl EventSource for FakeSource {
    async fn next(&mut self) -> SourceEvent {
        match self.0.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        self.0.close();
    }
}

/// Frames that are their event's content, or say in a few words what they are.
struct PlainFrames;

impl Frames for PlainFrames {
    fn event(&self, notification: &Notification, version: Version, _: Option<Instant>) -> Frame {
        notification.content.text(version).to_owned().into()
    }

    fn opening(&self, _: Option<Duration>, _: Option<EventId>) -> Option<Frame> {
        None
    }

    fn position(&self, position: EventId) -> Frame {
        format!("at {position}").into()
    }

    fn gap(&self, gap: &Gap, position: EventId) -> Frame {
        let last = gap.last_event_id.as_deref().unwrap_or("nothing");
        format!("{:?} after {last}, at {position}", gap.reason).into()
    }

    fn language(&self, language: &LanguageTag) -> Frame {
        format!("in {language}").into()
    }

    fn keepalive(&self) -> Frame {
        Frame::from_static(b":")
    }

    fn farewell(&self, reason: EndReason, reconnection_time: Option<Duration>) -> Frame {
        match reconnection_time {
            Some(time) => format!("{reason:?}, back in {time:?}").into(),
            None => format!("{reason:?}").into(),
        }
    }
}

/// A queue of a few places, and a client that reads it or does not. Everything is noted with the time it arrived.
struct FakeOutbox {
    places: usize,
    state: Mutex<FakeState>,
    room: Notify,
}

struct FakeState {
    waiting: VecDeque<Frame>,
    read: Vec<(String, Duration)>,
    ended: Option<EndReason>,
    progress_seen: Instant,
    progressed: bool,
    began: Instant,
}

impl FakeOutbox {
    fn new(places: usize) -> Arc<Self> {
        let now = PausedClock.now();
        let state = FakeState {
            waiting: VecDeque::new(),
            read: Vec::new(),
            ended: None,
            progress_seen: now,
            progressed: false,
            began: now,
        };
        Arc::new(Self { places, state: Mutex::new(state), room: Notify::new() })
    }

    /// A client that takes one frame every `pause`, for ever.
    fn read_every(self: &Arc<Self>, pause: Duration) {
        let outbox = Arc::clone(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(pause);
            loop {
                ticks.tick().await;
                let mut state = outbox.state.lock();
                if let Some(frame) = state.waiting.pop_front() {
                    let arrived = PausedClock.now() - state.began;
                    state.read.push((String::from_utf8(frame.to_vec()).expect("a text"), arrived));
                    state.progressed = true;
                    outbox.room.notify_one();
                }
            }
        });
    }

    fn read(&self) -> Vec<String> {
        self.state.lock().read.iter().map(|(text, _)| text.clone()).collect()
    }

    fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    fn ended(&self) -> Option<EndReason> {
        self.state.lock().ended
    }

    /// Takes all that waits, as a client that reads at this moment.
    fn take(&self) -> Vec<String> {
        let mut state = self.state.lock();
        state.progressed = true;
        let taken = state.waiting.drain(..).map(|frame| String::from_utf8(frame.to_vec()).expect("a text"));
        let taken = taken.collect();
        drop(state);
        self.room.notify_one();
        taken
    }
}

#[async_trait]
impl Outbox for FakeOutbox {
    fn offer(&self, frame: &Frame, now: Instant) -> Offer {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Offer::Gone;
        }
        if std::mem::take(&mut state.progressed) || state.waiting.is_empty() {
            state.progress_seen = now;
        }
        if state.waiting.len() == self.places {
            return Offer::Full { stalled: now - state.progress_seen };
        }
        state.waiting.push_back(frame.clone());
        Offer::Accepted
    }

    fn replay(&self, frame: &Frame, now: Instant) -> Offer {
        self.offer(frame, now)
    }

    async fn room(&self) {
        self.room.notified().await;
    }

    fn stalled(&self, now: Instant) -> Duration {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.progressed) || state.waiting.is_empty() {
            state.progress_seen = now;
        }
        now - state.progress_seen
    }

    fn unwritten_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (!state.waiting.is_empty()).then_some(state.progress_seen)
    }

    fn end(&self, reason: EndReason, last: Option<Frame>) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            state.ended = Some(reason);
            state.waiting.extend(last);
        }
        drop(state);
        self.room.notify_one();
    }
}

/// A store in memory, whose time is told by the count of choices, and which may be away.
#[derive(Default)]
struct FakePreferences {
    choices: Mutex<Vec<LanguageChoice>>,
    away: Mutex<bool>,
}

#[async_trait]
impl LanguagePreferences for FakePreferences {
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<LanguageChoice, NotStored> {
        if *self.away.lock() {
            return Err(NotStored);
        }
        let mut choices = self.choices.lock();
        let choice = LanguageChoice { user, language, made: Duration::from_secs(choices.len() as u64) };
        choices.push(choice.clone());
        Ok(choice)
    }

    fn keep(&self, choice: LanguageChoice) {
        self.choices.lock().push(choice);
    }

    async fn hear(&self) -> HeardLanguage {
        std::future::pending().await
    }
}

/// The use cases with a bus to speak on.
struct House {
    subscriptions: Subscriptions,
    languages: LanguageChoices,
    preferences: Arc<FakePreferences>,
    status: Arc<Status>,
    bus: mpsc::UnboundedSender<SourceEvent>,
    sequence: u64,
    stop: CancellationToken,
    relay: JoinHandle<()>,
    /// Held here as well, so that what they still expect is missed in the test's own thread.
    frames: Arc<dyn Frames>,
}

/// Nothing of it gets in the way of a test that is about something else.
const POLICY: StreamPolicy = StreamPolicy {
    limits: StreamLimits { total: usize::MAX, per_user: usize::MAX },
    history: HistoryLimits { max_age: Duration::from_mins(5), max_bytes: usize::MAX },
    resume_window: Duration::from_mins(2),
    doubt: Duration::from_mins(1),
    keepalive: None,
    max_age: None,
    reconnection_time: None,
    close_on_logout: true,
};

impl House {
    /// One of several instances, which tell each other where streams stood.
    async fn among_others(exchange: Arc<dyn BookmarkExchange>) -> Self {
        let house = Self::with_exchange(POLICY, any_metrics(), PlainFrames, Some(exchange));
        house.bus_is_there().await;
        house
    }

    /// The bus is there, and nothing has happened yet.
    async fn new(metrics: MockMetrics, frames: impl Frames + 'static) -> Self {
        let house = Self::before_the_bus(POLICY, metrics, frames);
        house.bus_is_there().await;
        house
    }

    async fn with(policy: StreamPolicy) -> Self {
        let house = Self::before_the_bus(policy, any_metrics(), PlainFrames);
        house.bus_is_there().await;
        house
    }

    async fn bus_is_there(&self) {
        self.say(SourceEvent::Begins { after: id(0) });
        self.say(SourceEvent::Subscribed);
        settle().await;
    }

    fn before_the_bus(policy: StreamPolicy, metrics: MockMetrics, frames: impl Frames + 'static) -> Self {
        Self::with_exchange(policy, metrics, frames, None)
    }

    fn with_exchange(
        policy: StreamPolicy,
        metrics: MockMetrics,
        frames: impl Frames + 'static,
        exchange: Option<Arc<dyn BookmarkExchange>>,
    ) -> Self {
        let (metrics, clock) = (Arc::new(metrics), Arc::new(PausedClock));
        let frames: Arc<dyn Frames> = Arc::new(frames);
        let subscriptions = Subscriptions::new(
            policy,
            LanguageTag::default(),
            frames.clone(),
            metrics.clone(),
            clock.clone(),
            exchange,
        );
        subscriptions.know_languages();
        let preferences = Arc::new(FakePreferences::default());
        let languages =
            LanguageChoices { subscriptions: subscriptions.clone(), preferences: preferences.clone() };
        let status = Arc::new(Status::default());
        let (bus, source) = mpsc::unbounded_channel();
        let relay = Relay {
            subscriptions: subscriptions.clone(),
            languages: languages.clone(),
            frames: Arc::clone(&frames),
            metrics,
            patience: Patience::new(GRACE, clock.now()),
            clock,
            status: Arc::clone(&status),
            traces: Arc::new(NoTraces),
        };
        let stop = CancellationToken::new();
        let relay = tokio::spawn(relay.run(Box::new(FakeSource(source)), stop.clone().cancelled_owned()));
        Self { subscriptions, languages, preferences, status, bus, sequence: 0, stop, relay, frames }
    }

    fn publish(&mut self, users: &[&str], content: &str) {
        self.publish_of(users, "t", content, Duration::ZERO);
    }

    /// An event that the bus has had for `age`.
    fn publish_of(&mut self, users: &[&str], event_type: &str, content: impl Into<Content>, age: Duration) {
        self.sequence += 1;
        let event_type = EventType::try_new(event_type).expect("an event type");
        let recipients = users.iter().map(|name| user(name)).collect();
        let notification =
            Notification { id: id(self.sequence), recipients, event_type, content: content.into() };
        self.say(SourceEvent::Notification { notification, age, trace_parent: Box::default() });
    }

    fn say(&self, event: SourceEvent) {
        self.bus.send(event).expect("the relay runs");
    }

    /// Ends the relay, which must not have failed. What the mocks expect has to have happened.
    async fn close(self) {
        self.stop.cancel();
        self.relay.await.expect("no panic in the relay");
        assert!(self.bus.is_closed(), "the bus was given up");
        drop(self.frames);
    }

    fn open(&self, name: &str, outbox: &Arc<FakeOutbox>) -> Subscription {
        self.ask(request(name), outbox).expect("not refused")
    }

    fn ask(&self, request: StreamRequest, outbox: &Arc<FakeOutbox>) -> Result<Subscription, Refused> {
        self.subscriptions.subscribe(request, outbox.clone())
    }
}

/// A request with a token that never ends.
fn request(name: &str) -> StreamRequest {
    let principal = Principal { user: user(name), until: Duration::MAX };
    StreamRequest { principal, last_event_id: None, request: None, accept_language: None }
}

fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(1), sequence }
}

fn user(name: &str) -> UserId {
    UserId::try_new(name).expect("a user id")
}

/// Metrics that take everything.
fn any_metrics() -> MockMetrics {
    let mut metrics = MockMetrics::new();
    metrics.expect_stream_opened().return_const(());
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_keepalive_sent().return_const(());
    metrics.expect_bus_connected().return_const(());
    metrics.expect_replayed().return_const(());
    metrics.expect_gap_told().return_const(());
    metrics.expect_limit_reached().return_const(());
    metrics
}

/// Lets everything happen that can happen without time going by.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
