//! What an [`EventSource`] is obliged to. Each call for what comes next is dropped several times before it is waited for: that loses nothing.

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

/// The bus of a source that is tested, as seen by those who publish on it.
#[async_trait(?Send)]
pub trait EventBus {
    /// A source that begins with what was published in the last minute.
    async fn source(&self) -> Box<dyn EventSource>;

    /// Publishes a message, and returns its id when the bus has it; none when this bus has no such messages.
    async fn publish(&self, message: Message<'_>) -> Option<EventId>;

    /// The time on the clock that the test runs on.
    fn now(&self) -> Instant;

    /// Lets time pass on a paused clock. A real one goes on by itself.
    async fn let_time_pass(&self) {}
}

/// A bus that may be lost, or lose what it has.
#[async_trait(?Send)]
pub trait FailingEventBus: EventBus {
    /// Keeps the source from the bus. Those who publish reach it.
    async fn interrupt(&self);

    /// Ends the interruption.
    async fn restore(&self);

    /// Loses every message.
    async fn purge(&self);

    /// Is deleted and made anew. Its sequences begin again.
    async fn recreate(&self);
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// An event of the type `t` with this content, for the user `a`.
    Event(&'a str),
    /// The user `a` has chosen the language `de`.
    LanguageChosen,
    /// The account of the user `a` was disabled.
    AccountDisabled,
    /// A message that is for another service.
    OfAnotherService,
    /// A message that cannot be read.
    Unreadable,
}

/// How far the clock of the bus may differ from the one of the test.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);
/// A source gives up what it holds within two seconds. So much more is left to a busy machine.
const CLOSING: Duration = Duration::from_secs(3);
/// No source reads so many bytes of contents ahead.
const READ_AHEAD: usize = 10 << 20;

/// Tests that everything comes once and in the order of the bus, the recent before [`SourceEvent::Subscribed`].
///
/// # Panics
///
/// An obligation is not met.
pub async fn returns_everything_in_order(bus: &impl EventBus) {
    let mut recent = Vec::new();
    for content in ["1", "2", "3"] {
        recent.push(publish(bus, content).await);
    }
    bus.let_time_pass().await;
    let mut reader = Reader { bus, source: bus.source().await };
    let SourceEvent::Resync { after } = reader.next().await else { panic!("it begins") };
    let first = recent[0].id;
    assert_eq!(EventId { sequence: after.sequence + 1, ..after }, first, "nothing is left out");
    for published in &recent {
        reader.brings(published).await;
    }
    assert_eq!(reader.next().await, SourceEvent::Subscribed);

    let mut new = Vec::new();
    for number in 0..100 {
        new.push(publish(bus, &number.to_string()).await);
    }
    for published in &new {
        reader.brings(published).await;
    }

    // In their place among the others; what is no notification, or none that can be read, is passed over.
    let before = publish(bus, "before").await;
    let chosen = bus.publish(Message::LanguageChosen).await;
    bus.publish(Message::OfAnotherService).await;
    let disabled = bus.publish(Message::AccountDisabled).await;
    bus.publish(Message::Unreadable).await;
    let behind = publish(bus, "behind").await;
    reader.brings(&before).await;
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
    reader.brings(&behind).await;
    reader.source.close().await;
}

/// Tests that the source says when its bus is lost, and goes on where it stopped.
///
/// # Panics
///
/// An obligation is not met.
pub async fn resumes_after_an_interruption(bus: &impl FailingEventBus) {
    // The bus is away at first.
    bus.interrupt().await;
    let mut reader = Reader { bus, source: bus.source().await };
    let first = publish(bus, "first").await;
    bus.let_time_pass().await;
    bus.restore().await;
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.goes_on(Some(after), &[&first]).await;

    for _ in 0..2 {
        bus.interrupt().await;
        let event = reader.next().await;
        assert!(matches!(event, SourceEvent::Interrupted { .. }), "{event:?}");
        let [one, two] = [publish(bus, "one").await, publish(bus, "two").await];
        bus.let_time_pass().await;
        bus.restore().await;
        let three = publish(bus, "three").await;
        reader.goes_on(None, &[&one, &two, &three]).await;
        let four = publish(bus, "four").await;
        reader.brings(&four).await;
    }
    reader.source.close().await;
}

/// Tests that what the bus has lost is told, unless it was read before.
///
/// # Panics
///
/// An obligation is not met.
pub async fn reports_lost_events(bus: &impl FailingEventBus) {
    let first = publish(bus, "first").await;
    let mut reader = Reader { bus, source: bus.source().await };
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.goes_on(Some(after), &[&first]).await;

    // What was read is not missed.
    bus.purge().await;
    let second = publish(bus, "second").await;
    reader.brings(&second).await;

    // What was not is.
    bus.interrupt().await;
    let event = reader.next().await;
    assert!(matches!(event, SourceEvent::Interrupted { .. }), "{event:?}");
    publish(bus, "lost").await;
    let lost = publish(bus, "lost as well").await;
    bus.purge().await;
    bus.restore().await;
    let third = publish(bus, "third").await;
    reader.goes_on(Some(lost.id), &[&third]).await;

    // Of another making of the bus everything is new, whatever its sequence.
    bus.recreate().await;
    let anew = publish(bus, "anew").await;
    assert_ne!(anew.id.incarnation, third.id.incarnation);
    reader.goes_on(Some(EventId { sequence: 0, ..anew.id }), &[&anew]).await;
    let further = publish(bus, "further").await;
    reader.brings(&further).await;
    reader.source.close().await;
}

/// Tests that what nobody asks for waits on the bus, where it can still be lost. A fake that holds everything in memory is not meant.
///
/// # Panics
///
/// The obligation is not met.
pub async fn limits_read_ahead(bus: &impl FailingEventBus) {
    let first = publish(bus, "first").await;
    let mut reader = Reader { bus, source: bus.source().await };
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.goes_on(Some(after), &[&first]).await;
    let large = "x".repeat(500_000);
    for _ in 0..3 * READ_AHEAD / large.len() {
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
    assert!(bytes <= READ_AHEAD, "{bytes} bytes were read ahead");
    assert_eq!(gaps, 1, "the rest is lost");
}

/// Tests that a source is given up in time, also while its bus is out of reach.
///
/// # Panics
///
/// The obligation is not met.
pub async fn closes_while_interrupted(bus: &impl FailingEventBus) {
    let first = publish(bus, "first").await;
    let mut reader = Reader { bus, source: bus.source().await };
    let after = EventId { sequence: first.id.sequence - 1, ..first.id };
    reader.goes_on(Some(after), &[&first]).await;
    bus.interrupt().await;
    let began = bus.now();
    reader.source.close().await;
    let taken = bus.now() - began;
    assert!(taken < CLOSING, "{taken:?}");
}

/// An event that the bus has.
struct Published {
    id: EventId,
    content: String,
    /// When it was given to the bus …
    given: Instant,
    /// … and when the bus had it.
    had: Instant,
}

async fn publish(bus: &impl EventBus, content: &str) -> Published {
    let given = bus.now();
    let id = bus.publish(Message::Event(content)).await.expect("every bus has events");
    Published { id, content: content.into(), given, had: bus.now() }
}

/// A source, and the bus that it reads.
struct Reader<'a, B> {
    bus: &'a B,
    source: Box<dyn EventSource>,
}

impl<B: EventBus> Reader<'_, B> {
    /// What comes next, after some calls that were dropped.
    async fn next(&mut self) -> SourceEvent {
        for polls in 1..=3 {
            if let Some(event) = self.next_unless_pending(polls).await {
                return event;
            }
        }
        self.source.next().await
    }

    /// Drops the call when it is still pending after so many polls.
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

    /// The very next is this event.
    async fn brings(&mut self, published: &Published) {
        let asked = self.bus.now();
        let event = self.next().await;
        self.is(&event, published, asked);
    }

    /// The event is this one, and the bus has had it since it was published.
    fn is(&self, event: &SourceEvent, published: &Published, asked: Instant) {
        let SourceEvent::Notification { notification, age, .. } = event else {
            panic!("{event:?} instead of {}", published.content)
        };
        assert_eq!((notification.id, text(&notification.content)), (published.id, &*published.content));
        let recipients = Recipients::Users(vec![user()]);
        assert_eq!((notification.event_type.as_str(), &notification.recipients), ("t", &recipients));
        let least = asked.saturating_duration_since(published.had).saturating_sub(CLOCK_TOLERANCE);
        let most = self.bus.now() - published.given + CLOCK_TOLERANCE;
        assert!((least..=most).contains(age), "{age:?} is not within {least:?} and {most:?}");
    }

    /// The source is subscribed, and brings these events, in order and nothing else. What follows `after` is new to it, if that is given.
    async fn goes_on(&mut self, mut after: Option<EventId>, published: &[&Published]) {
        let (mut published, mut said) = (published.iter(), None);
        let mut is_subscribed = false;
        while !is_subscribed || published.len() > 0 {
            let asked = self.bus.now();
            match self.next().await {
                SourceEvent::Resync { after: told } => {
                    assert_eq!(after.take(), Some(told), "what comes follows on that");
                }
                SourceEvent::Subscribed => {
                    assert!(!is_subscribed, "it is said once");
                    is_subscribed = true;
                }
                SourceEvent::Interrupted { reason } => {
                    // An outage may have one reason after the other.
                    assert_ne!(said.as_ref(), Some(&reason), "it is said once");
                    said = Some(reason);
                    is_subscribed = false;
                }
                event => {
                    assert_eq!(after, None, "{event:?} before what it follows on");
                    self.is(&event, published.next().expect("nothing else"), asked);
                }
            }
        }
    }
}

/// The text of a content that comes in no other language.
fn text(content: &Content) -> &str {
    content.text(TranslationIndex::FALLBACK)
}
