//! The obligations of an [`EventSource`]. The tests drop several calls of [`EventSource::next`] before they wait for one, because that
//! loses nothing.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::{
    content::{Content, TranslationIndex},
    notification::{EventId, Recipients},
};

use super::user;
use crate::outbound::{EventSource, SourceEvent};

/// The event bus of the source under test, as seen by its publishers. NATS is one.
#[async_trait(?Send)]
pub trait EventBus {
    /// Creates a source that starts with the messages of the last minute.
    async fn source(&self) -> Box<dyn EventSource>;

    /// Publishes a message and returns its id when the bus has stored it. Returns none if this bus has no such messages.
    async fn publish(&self, message: Message<'_>) -> Option<EventId>;

    /// Returns the time on the clock of the test.
    fn now(&self) -> Instant;

    /// Advances a paused clock. A real clock advances by itself.
    async fn let_time_pass(&self) {}
}

/// An event bus whose faults a test can cause.
#[async_trait(?Send)]
pub trait FailingEventBus: EventBus {
    /// Interrupts the connection of the source. Publishers still reach the bus.
    async fn interrupt(&self);

    /// Ends the interruption.
    async fn restore(&self);

    /// Loses every message.
    async fn purge(&self);

    /// Deletes and recreates the bus. Its sequences restart.
    async fn recreate(&self);
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// An event of the type `t` with this content, for the user `a`.
    Event(&'a str),
    /// The user `a` has chosen the language `de`.
    LanguageChosen,
    /// The account of the user `a` was disabled.
    AccountDisabled,
    /// A message for another service.
    OfAnotherService,
    /// A message that cannot be decoded.
    Unreadable,
}

/// The maximum difference between the clock of the bus and the clock of the test.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);
/// The maximum time for closing a source: two seconds, and one more for a busy machine.
const MAX_CLOSE_TIME: Duration = Duration::from_secs(3);
/// The maximum number of bytes of contents that a source reads ahead.
const MAX_READ_AHEAD: usize = 10 << 20;

/// Tests that every event is returned once and in the order of the bus, the recent ones before [`SourceEvent::Subscribed`].
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn returns_everything_in_order(bus: &impl EventBus) {
    let mut recent = Vec::new();
    for content in ["1", "2", "3"] {
        recent.push(publish(bus, content).await);
    }
    bus.let_time_pass().await;
    let mut reader = Reader { bus, source: bus.source().await };
    let SourceEvent::Resync { after } = reader.next().await else { panic!("no resync") };
    let first = recent[0].id;
    assert_eq!(EventId { sequence: after.sequence + 1, ..after }, first, "the first recent event follows");
    for published in &recent {
        reader.expect_next(published).await;
    }
    assert_eq!(reader.next().await, SourceEvent::Subscribed);

    let mut new = Vec::new();
    for number in 0..100 {
        new.push(publish(bus, &number.to_string()).await);
    }
    for published in &new {
        reader.expect_next(published).await;
    }

    // Choices and account changes are returned in order. Other and unreadable messages are skipped.
    let before = publish(bus, "before").await;
    let chosen = bus.publish(Message::LanguageChosen).await;
    bus.publish(Message::OfAnotherService).await;
    let disabled = bus.publish(Message::AccountDisabled).await;
    bus.publish(Message::Unreadable).await;
    let last = publish(bus, "last").await;
    reader.expect_next(&before).await;
    if chosen.is_some() {
        let event = reader.next().await;
        let SourceEvent::LanguageChosen(choice) = event else { panic!("{event:?}") };
        let language = choice.language.map(|language| language.to_string());
        assert_eq!((choice.user, language.as_deref()), (user(), Some("de")));
    }
    if disabled.is_some() {
        let event = reader.next().await;
        let SourceEvent::AccountChanged(change) = event else { panic!("{event:?}") };
        assert_eq!((change.user, change.is_enabled), (user(), false));
    }
    reader.expect_next(&last).await;
    reader.source.close().await;
}

/// Tests that the source reports after each message how many wait behind it. The obligation does not apply to a source without a server.
///
/// # Panics
///
/// Panics if the obligation is not met.
pub async fn reports_lag(bus: &impl EventBus) {
    for message in [Message::Event("1"), Message::OfAnotherService, Message::Unreadable, Message::Event("2")]
    {
        bus.publish(message).await;
    }
    let mut source = bus.source().await;
    let mut returned = Vec::new();
    loop {
        returned.push(match source.next().await {
            SourceEvent::Resync { .. } => "resync".to_owned(),
            SourceEvent::Notification { .. } => "event".to_owned(),
            SourceEvent::Lag { messages } => format!("lag {messages}"),
            SourceEvent::Subscribed => break,
            event => panic!("{event:?}"),
        });
    }
    assert_eq!(returned, ["resync", "event", "lag 3", "lag 2", "lag 1", "event", "lag 0"]);
    source.close().await;
}

/// Tests that the source reports an interruption and resumes where it stopped.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn resumes_after_an_interruption(bus: &impl FailingEventBus) {
    // The bus is out of reach at first.
    bus.interrupt().await;
    let mut reader = Reader { bus, source: bus.source().await };
    let first = publish(bus, "first").await;
    bus.let_time_pass().await;
    bus.restore().await;
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.expect_resumed(Some(after), &[&first]).await;

    for _ in 0..2 {
        bus.interrupt().await;
        let event = reader.next().await;
        assert!(matches!(event, SourceEvent::Interrupted { .. }), "{event:?}");
        let [one, two] = [publish(bus, "one").await, publish(bus, "two").await];
        bus.let_time_pass().await;
        bus.restore().await;
        let three = publish(bus, "three").await;
        reader.expect_resumed(None, &[&one, &two, &three]).await;
        let four = publish(bus, "four").await;
        reader.expect_next(&four).await;
    }
    reader.source.close().await;
}

/// Tests that the source reports events that the bus has lost, unless it had read them.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn reports_lost_events(bus: &impl FailingEventBus) {
    let first = publish(bus, "first").await;
    let mut reader = Reader { bus, source: bus.source().await };
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.expect_resumed(Some(after), &[&first]).await;

    // Losing an event that was read is not reported.
    bus.purge().await;
    let second = publish(bus, "second").await;
    reader.expect_next(&second).await;

    // Losing an event that was not read is reported.
    bus.interrupt().await;
    let event = reader.next().await;
    assert!(matches!(event, SourceEvent::Interrupted { .. }), "{event:?}");
    publish(bus, "lost").await;
    let lost = publish(bus, "lost as well").await;
    bus.purge().await;
    bus.restore().await;
    let third = publish(bus, "third").await;
    reader.expect_resumed(Some(lost.id), &[&third]).await;

    // Every event of a recreated bus is new, whatever its sequence.
    bus.recreate().await;
    let recreated = publish(bus, "recreated").await;
    assert_ne!(recreated.id.incarnation, third.id.incarnation);
    reader.expect_resumed(Some(EventId { sequence: 0, ..recreated.id }), &[&recreated]).await;
    let further = publish(bus, "further").await;
    reader.expect_next(&further).await;
    reader.source.close().await;
}

/// Tests that a source reads a limited number of bytes ahead: messages beyond that wait on the bus, where they can be lost. The obligation
/// does not apply to a fake that has everything in memory.
///
/// # Panics
///
/// Panics if the obligation is not met.
pub async fn limits_read_ahead(bus: &impl FailingEventBus) {
    let first = publish(bus, "first").await;
    let mut reader = Reader { bus, source: bus.source().await };
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.expect_resumed(Some(after), &[&first]).await;
    let large = "x".repeat(500_000);
    for _ in 0..3 * MAX_READ_AHEAD / large.len() {
        publish(bus, &large).await;
    }
    bus.purge().await;
    let last = publish(bus, "last").await;
    let (mut bytes, mut gaps) = (0, 0);
    loop {
        match reader.next().await {
            SourceEvent::Notification { notification, .. } if notification.id == last.id => break,
            SourceEvent::Notification { notification, .. } => bytes += text(&notification.content).len(),
            SourceEvent::Resync { .. } => gaps += 1,
            event => panic!("{event:?}"),
        }
    }
    assert!(bytes <= MAX_READ_AHEAD, "{bytes} bytes were read ahead");
    assert_eq!(gaps, 1, "the other messages are lost");
}

/// Tests that closing a source takes a limited time while its bus is out of reach.
///
/// # Panics
///
/// Panics if the obligation is not met.
pub async fn closes_while_interrupted(bus: &impl FailingEventBus) {
    let first = publish(bus, "first").await;
    let mut reader = Reader { bus, source: bus.source().await };
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.expect_resumed(Some(after), &[&first]).await;
    bus.interrupt().await;
    let started = bus.now();
    reader.source.close().await;
    let taken = bus.now() - started;
    assert!(taken < MAX_CLOSE_TIME, "{taken:?}");
}

/// An event that the bus has stored.
struct Published {
    id: EventId,
    content: String,
    /// When the event was sent to the bus.
    sent: Instant,
    /// When the bus had stored the event.
    stored: Instant,
}

async fn publish(bus: &impl EventBus, content: &str) -> Published {
    let sent = bus.now();
    let id = bus.publish(Message::Event(content)).await.expect("every bus has events");
    Published { id, content: content.into(), sent, stored: bus.now() }
}

/// A source and its bus.
struct Reader<'a, B> {
    bus: &'a B,
    source: Box<dyn EventSource>,
}

impl<B: EventBus> Reader<'_, B> {
    /// Returns the next event except [`SourceEvent::Lag`], after some dropped calls.
    async fn next(&mut self) -> SourceEvent {
        loop {
            let event = self.next_of_any_kind().await;
            if !matches!(event, SourceEvent::Lag { .. }) {
                return event;
            }
        }
    }

    async fn next_of_any_kind(&mut self) -> SourceEvent {
        for polls in 1..=3 {
            if let Some(event) = self.next_unless_pending(polls).await {
                return event;
            }
        }
        self.source.next().await
    }

    /// Drops the call if it is still pending after this number of polls.
    async fn next_unless_pending(&mut self, polls: u32) -> Option<SourceEvent> {
        let mut next = pin!(self.source.next());
        let mut left = polls;
        poll_fn(|context| {
            left -= 1;
            match next.as_mut().poll(context) {
                Poll::Ready(event) => Poll::Ready(Some(event)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Checks that the next event is `published`.
    async fn expect_next(&mut self, published: &Published) {
        let asked = self.bus.now();
        let event = self.next().await;
        self.check(&event, published, asked);
    }

    /// Checks that `event` is `published`, and that its age is right.
    fn check(&self, event: &SourceEvent, published: &Published, asked: Instant) {
        let SourceEvent::Notification { notification, age, .. } = event else {
            panic!("{event:?} instead of {}", published.content)
        };
        assert_eq!((notification.id, text(&notification.content)), (published.id, &*published.content));
        let recipients = Recipients::Users(vec![user()]);
        assert_eq!((notification.event_type.as_str(), &notification.recipients), ("t", &recipients));
        let min = asked.saturating_duration_since(published.stored).saturating_sub(CLOCK_TOLERANCE);
        let max = self.bus.now() - published.sent + CLOCK_TOLERANCE;
        assert!((min..=max).contains(age), "{age:?} is not within {min:?} and {max:?}");
    }

    /// Checks that the source subscribes again and returns exactly these events, in order. If `after` is given, a resync to it comes first.
    async fn expect_resumed(&mut self, mut after: Option<EventId>, published: &[&Published]) {
        let (mut published, mut reported) = (published.iter(), None);
        let mut is_subscribed = false;
        while !is_subscribed || published.len() > 0 {
            let asked = self.bus.now();
            match self.next().await {
                SourceEvent::Resync { after: resynced } => {
                    assert_eq!(after.take(), Some(resynced), "an unexpected resync");
                }
                SourceEvent::Subscribed => {
                    assert!(!is_subscribed, "reported twice");
                    is_subscribed = true;
                }
                SourceEvent::Interrupted { reason } => {
                    // The reason of an outage may change.
                    assert_ne!(reported.as_ref(), Some(&reason), "reported twice");
                    reported = Some(reason);
                    is_subscribed = false;
                }
                event => {
                    assert_eq!(after, None, "{event:?} before the resync");
                    self.check(&event, published.next().expect("one of the expected events"), asked);
                }
            }
        }
    }
}

/// Returns the text of a content without translations.
fn text(content: &Content) -> &str {
    content.text(TranslationIndex::FALLBACK)
}
