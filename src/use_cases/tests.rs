//! The use cases over fakes and mocks, on the runtime's paused clock: whole seconds of waiting pass in no time.
#![expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is asked")]

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::{
    identity::UserId,
    keepalive::KeepalivePolicy,
    notification::{EventId, EventType, Incarnation, Notification},
    patience::Patience,
};
use mockall::predicate::eq;
use parking_lot::Mutex;
use ports::{
    inbound::{NotReady, Readiness as _, Refused, Subscribe as _},
    outbound::{
        Clock, EndReason, EventSource, Frame, Frames, MockFrames, MockMetrics, MockServiceRegistry, Offer,
        Outbox, Outcome, RegistryUnavailable, ServiceRegistry, SourceEvent, Traces,
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
    fn continue_from(&self, _: &tracing::Span, _: &str) {}
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

/// Frames that are their event's content.
struct PlainFrames;

impl Frames for PlainFrames {
    fn event(&self, notification: &Notification) -> Frame {
        Frame::from(notification.content.clone())
    }

    fn keepalive(&self) -> Frame {
        Frame::from_static(b":")
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

    async fn room(&self) {
        self.room.notified().await;
    }

    fn end(&self, reason: EndReason) {
        self.state.lock().ended.get_or_insert(reason);
        self.room.notify_one();
    }
}

/// The use cases with a bus to speak on.
struct House {
    subscriptions: Subscriptions,
    status: Arc<Status>,
    bus: mpsc::UnboundedSender<SourceEvent>,
    sequence: u64,
    stop: CancellationToken,
    relay: JoinHandle<()>,
    /// Held here as well, so that what they still expect is missed in the test's own thread.
    frames: Arc<dyn Frames>,
}

impl House {
    fn new(metrics: MockMetrics, frames: impl Frames + 'static) -> Self {
        let (metrics, clock) = (Arc::new(metrics), Arc::new(PausedClock));
        let subscriptions = Subscriptions::new(metrics.clone(), clock.clone());
        let status = Arc::new(Status::default());
        let (bus, source) = mpsc::unbounded_channel();
        let frames: Arc<dyn Frames> = Arc::new(frames);
        let relay = Relay {
            subscriptions: subscriptions.clone(),
            frames: Arc::clone(&frames),
            metrics,
            patience: Patience::new(GRACE, clock.now()),
            clock,
            status: Arc::clone(&status),
            traces: Arc::new(NoTraces),
        };
        let stop = CancellationToken::new();
        let relay = tokio::spawn(relay.run(Box::new(FakeSource(source)), stop.clone().cancelled_owned()));
        Self { subscriptions, status, bus, sequence: 0, stop, relay, frames }
    }

    fn publish(&mut self, users: &[&str], content: &str) {
        self.sequence += 1;
        let id = EventId { incarnation: Incarnation(1), sequence: self.sequence };
        let event_type = EventType::try_new("t").expect("an event type");
        let recipients = users.iter().map(|name| user(name)).collect();
        let notification = Notification { id, recipients, event_type, content: content.into() };
        let trace_parent = Box::default();
        self.say(SourceEvent::Notification { notification, age: Duration::from_secs(2), trace_parent });
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

    fn open(&self, name: &str, outbox: &Arc<FakeOutbox>) -> ports::inbound::Subscription {
        self.subscriptions.subscribe(&user(name), outbox.clone()).expect("not stopping")
    }
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
    metrics
}

/// Lets everything happen that can happen without time going by.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_stream_of_a_named_user_gets_an_event_in_order_and_nobody_else() {
    let mut house = House::new(any_metrics(), PlainFrames);
    let [one, two, other] = [(); 3].map(|()| FakeOutbox::new(10));
    let _open = [house.open("a", &one), house.open("a", &two), house.open("b", &other)];
    for outbox in [&one, &two, &other] {
        outbox.read_every(Duration::from_millis(1));
    }
    house.publish(&["a"], "1");
    house.publish(&["a", "b", "a"], "2");
    house.publish(&["nobody"], "3");
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!([one.read(), two.read(), other.read()], [vec!["1", "2"], vec!["1", "2"], vec!["2"]]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_encoded_once_and_only_when_somebody_is_there() {
    let mut frames = MockFrames::new();
    frames.expect_event().once().return_const(Frame::from_static(b"x"));
    let mut metrics = any_metrics();
    metrics.checkpoint();
    metrics.expect_stream_opened().return_const(());
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().once().with(eq(Outcome::NoSubscriber)).return_const(());
    metrics.expect_event_received().once().with(eq(Outcome::Delivered)).return_const(());
    metrics.expect_delivered().once().with(eq(3), eq(Duration::from_secs(2))).return_const(());
    let mut house = House::new(metrics, frames);
    let outboxes = [(); 3].map(|()| FakeOutbox::new(10));
    let _open = [house.open("a", &outboxes[0]), house.open("a", &outboxes[1]), house.open("b", &outboxes[2])];
    house.publish(&["c"], "");
    house.publish(&["a", "b"], "");
    settle().await;
    assert_eq!(outboxes.map(|outbox| outbox.waiting()), [1, 1, 1]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_everything_and_is_not_cut() {
    let mut house = House::new(any_metrics(), PlainFrames);
    let slow = FakeOutbox::new(4);
    let _open = house.open("a", &slow);
    slow.read_every(Duration::from_millis(100));
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    for content in &expected {
        house.publish(&["a"], content);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(slow.ended(), None);
    assert_eq!(slow.read(), expected);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_ended_after_the_grace_and_nobody_waits_for_it_again() {
    let mut metrics = any_metrics();
    metrics.checkpoint();
    metrics.expect_stream_opened().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Slow), eq(1), eq(1)).return_const(());
    metrics.expect_stream_closed().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let mut house = House::new(metrics, PlainFrames);
    let (stalled, reads) = (FakeOutbox::new(2), FakeOutbox::new(2));
    let _open = [house.open("a", &stalled), house.open("a", &reads)];
    reads.read_every(Duration::from_millis(1));
    for n in 0..100 {
        house.publish(&["a"], &n.to_string());
    }
    tokio::time::sleep(Duration::from_millis(240)).await;
    assert_eq!(stalled.ended(), None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stalled.ended(), Some(EndReason::Slow));
    assert_eq!(reads.read().len(), 100);
    let last = reads.state.lock().read.last().expect("read").1;
    assert!(last < GRACE + Duration::from_millis(200), "the last event came after {last:?}");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_stalled_clients_does_not_hold_up_the_others() {
    let mut house = House::new(any_metrics(), PlainFrames);
    let reads = FakeOutbox::new(256);
    let mut open = vec![house.open("reads", &reads)];
    reads.read_every(Duration::from_millis(1));
    let mut crowd = Vec::new();
    // Over ten seconds two hundred arrive, each filling its queue at once with a burst of its own.
    for n in 0..200_u32 {
        let stalled = FakeOutbox::new(1);
        open.push(house.open(&format!("stalled {n}"), &stalled));
        crowd.push(stalled);
        for _ in 0..2 {
            house.publish(&[&format!("stalled {n}")], "x");
        }
        house.publish(&["reads"], &(PausedClock.now() - reads.state.lock().began).as_millis().to_string());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(crowd.iter().all(|stalled| stalled.ended() == Some(EndReason::Slow)));
    let mut delays: Vec<_> = reads
        .state
        .lock()
        .read
        .iter()
        .map(|(published, arrived)| {
            arrived.saturating_sub(Duration::from_millis(published.parse().expect("a number")))
        })
        .collect();
    delays.sort();
    assert_eq!(delays.len(), 200);
    assert!(delays[197] < Duration::from_secs(1), "p99 {:?}, all: {delays:?}", delays[197]);
}

#[tokio::test(start_paused = true)]
async fn each_silent_stream_gets_one_comment_and_a_busy_one_none() {
    let mut house = House::new(any_metrics(), PlainFrames);
    let tabs = [(); 3].map(|()| FakeOutbox::new(100));
    let busy = FakeOutbox::new(100);
    let mut open: Vec<_> = tabs.iter().map(|tab| house.open("silent", tab)).collect();
    open.push(house.open("busy", &busy));
    let mut metrics = MockMetrics::new();
    metrics.expect_keepalive_sent().times(9).return_const(());
    let metrics: Arc<dyn ports::outbound::Metrics> = Arc::new(metrics);
    let keepalive = Keepalive {
        subscriptions: house.subscriptions.clone(),
        frames: Arc::new(PlainFrames),
        metrics: Arc::clone(&metrics),
        policy: KeepalivePolicy::every(Duration::from_secs(10)).expect("not zero"),
    };
    let keepalive = tokio::spawn(keepalive.run());
    for _ in 0..35 {
        house.publish(&["busy"], "x");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    keepalive.abort();
    assert!(keepalive.await.expect_err("it never ends").is_cancelled());
    assert_eq!(tabs.map(|tab| tab.waiting()), [3, 3, 3]);
    assert!(busy.state.lock().waiting.iter().all(|frame| frame == "x"));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_all_streams_and_refuses_new_ones() {
    let house = House::new(any_metrics(), PlainFrames);
    let outbox = FakeOutbox::new(1);
    let _open = house.open("a", &outbox);
    house.subscriptions.stop();
    assert_eq!(outbox.ended(), Some(EndReason::Stopping));
    let refused = house.subscriptions.subscribe(&user("a"), FakeOutbox::new(1));
    assert_eq!(refused.err(), Some(Refused::Stopping));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_leaves_nothing_behind() {
    let mut metrics = MockMetrics::new();
    metrics.expect_stream_opened().once().with(eq(1), eq(1)).return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let house = House::new(metrics, PlainFrames);
    let outbox = FakeOutbox::new(1);
    drop(house.open("a", &outbox));
    assert_eq!(Arc::strong_count(&outbox), 1, "nobody else holds the queue");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_status_follows_the_bus() {
    let mut metrics = MockMetrics::new();
    metrics.expect_bus_connected().once().with(eq(true)).return_const(());
    metrics.expect_bus_connected().once().with(eq(false)).return_const(());
    let house = House::new(metrics, PlainFrames);
    assert_eq!(house.status.check(), Err(NotReady::Starting));
    house.say(SourceEvent::Subscribed);
    settle().await;
    assert_eq!(house.status.check(), Ok(()));
    house.say(SourceEvent::Behind { messages: 20_000 });
    settle().await;
    assert_eq!(house.status.check(), Err(NotReady::Behind { messages: 20_000 }));
    house.say(SourceEvent::Interrupted { reason: "gone".into() });
    settle().await;
    assert_eq!(house.status.check(), Err(NotReady::Interrupted { reason: "gone".into() }));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_entry_is_renewed_before_it_disappears_and_tried_again_soon() {
    let began = PausedClock.now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut registry = MockServiceRegistry::new();
    let noted = Arc::clone(&times);
    registry.expect_announce().returning(move || {
        let mut times = noted.lock();
        times.push((PausedClock.now() - began).as_secs());
        // The second time it is away.
        if times.len() == 2 { Err(RegistryUnavailable { reason: "away".into() }) } else { Ok(()) }
    });
    registry.expect_withdraw().once().returning(|| Ok(()));
    let announcement = Announcement { registry: Arc::new(registry) };
    let running = tokio::spawn(announcement.clone().run());
    tokio::time::sleep(Duration::from_mins(1)).await;
    running.abort();
    assert!(running.await.expect_err("it never ends").is_cancelled());
    announcement.withdraw().await;
    assert_eq!(*times.lock(), [0, 25, 27, 52]);
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_a_registry_that_is_away() {
    /// Never answers.
    struct Away;

    #[async_trait]
    impl ServiceRegistry for Away {
        async fn announce(&self) -> Result<(), RegistryUnavailable> {
            std::future::pending().await
        }

        async fn withdraw(&self) -> Result<(), RegistryUnavailable> {
            std::future::pending().await
        }
    }

    let began = PausedClock.now();
    Announcement { registry: Arc::new(Away) }.withdraw().await;
    assert_eq!((PausedClock.now() - began).as_secs(), 2);
}
