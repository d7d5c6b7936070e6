//! NATS: the queue that every instance reads, and the buckets that the instances share.

use std::collections::{HashMap, VecDeque};

use domain::bookmark::Bookmark;

use super::*;

/// The position before every event.
pub(super) const OLDEST: EventId = EventId { incarnation: Incarnation::of(1), sequence: 0 };

/// The queue. Each incarnation counts its messages from one.
pub(super) struct Queue {
    pub(super) started: Instant,
    incarnation: u64,
    messages: VecDeque<Message>,
    last: u64,
    /// The time by which the clock of NATS is ahead, in milliseconds.
    pub(super) ahead: i64,
}

#[derive(Clone)]
struct Message {
    sequence: u64,
    /// The time by the clock of NATS, in milliseconds since the start of the model.
    stamp: i64,
    payload: Payload,
}

/// The content of a message.
#[derive(Clone)]
pub(super) enum Payload {
    Event { recipients: Recipients, event_type: EventType, content: Content },
    Language(LanguageChoice),
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { started: WallClock::present(), incarnation: 1, messages: VecDeque::new(), last: 0, ahead: 0 }
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation::of(self.incarnation)
    }

    /// Returns the position of the last message.
    pub(super) fn last(&self) -> EventId {
        EventId { incarnation: self.incarnation(), sequence: self.last }
    }

    pub(super) fn publish(&mut self, payload: Payload) -> EventId {
        self.last += 1;
        let stamp = self.time();
        self.messages.push_back(Message { sequence: self.last, stamp, payload });
        self.last()
    }

    pub(super) fn purge(&mut self) {
        self.messages.clear();
    }

    /// Deletes and recreates the queue.
    pub(super) fn recreate(&mut self) {
        self.messages.clear();
        self.last = 0;
        self.incarnation += 1;
    }

    /// Returns the sequence of the first message that still exists.
    fn first(&self) -> u64 {
        self.messages.front().map_or(self.last + 1, |message| message.sequence)
    }

    fn time(&self) -> i64 {
        milliseconds(WallClock::present() - self.started) + self.ahead
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).expect("a short time")
}

/// The source of one instance. It returns every message in order and reports lost ones, as the port requires.
#[derive(Default)]
pub(super) struct Reader {
    last: Option<EventId>,
    /// The last of the recent messages, until all of them were delivered.
    filling: Option<u64>,
    pub(super) is_subscribed: bool,
    pub(super) held: Held,
    /// The ranges of messages that were lost before they could be read: after the first position, up to the second.
    pub(super) lost: Vec<(EventId, EventId)>,
}

/// Whether the delivery to an instance is held up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    #[default]
    No,
    /// Held up until this time.
    Until(Instant),
    /// Held up, and reported as lagging.
    Lagging,
}

impl Reader {
    /// Returns the last message that was delivered.
    pub(super) fn last(&self) -> Option<EventId> {
        self.last
    }

    /// Returns whether all recent messages were delivered.
    pub(super) fn has_filled(&self) -> bool {
        self.last.is_some() && self.filling.is_none()
    }

    /// Starts with the messages of the last `recently`, or resumes after the last message.
    pub(super) fn subscribe(&mut self, queue: &Queue, recently: Duration) -> Vec<SourceEvent> {
        let mut events = Vec::new();
        let start = match self.last {
            Some(last) if last.incarnation == queue.incarnation() => last.sequence + 1,
            Some(_) => 1,
            None if recently.is_zero() => queue.last + 1,
            None => {
                let time = queue.time() - queue.ahead - milliseconds(recently);
                let recent = queue.messages.iter().find(|message| message.stamp >= time);
                recent.map_or(queue.last + 1, |message| message.sequence)
            }
        };
        if self.last.is_none() || self.filling.is_some() {
            self.filling = Some(queue.last);
        }
        self.is_subscribed = true;
        let after = EventId { sequence: start.max(queue.first()) - 1, ..queue.last() };
        self.skip_to(after, queue, &mut events);
        match (self.filling, self.held) {
            (Some(_), Held::Lagging) => {}
            (Some(_), _) => self.fill(after.sequence, &mut events),
            (None, held) => {
                events.push(SourceEvent::Subscribed);
                events.extend((held == Held::Lagging).then_some(SourceEvent::Lag { messages: 20_000 }));
            }
        }
        events
    }

    /// Delivers the messages that can be delivered now.
    pub(super) fn deliver(&mut self, queue: &Queue) -> Vec<SourceEvent> {
        let mut events = Vec::new();
        if let Held::Until(time) = self.held
            && WallClock::present() >= time
        {
            self.held = Held::No;
        }
        if !self.is_subscribed || self.held != Held::No {
            return events;
        }
        let last = self.last.expect("subscribed");
        for message in queue.messages.iter().filter(|message| message.sequence > last.sequence) {
            let id = EventId { sequence: message.sequence, ..queue.last() };
            self.skip_to(EventId { sequence: id.sequence - 1, ..id }, queue, &mut events);
            self.last = Some(id);
            let age = queue.time() - queue.ahead - message.stamp;
            let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
            events.push(message.read(id, age));
            self.fill(id.sequence, &mut events);
        }
        let purged = EventId { sequence: queue.first() - 1, ..queue.last() };
        if self.last.is_some_and(|last| purged.follows(last)) {
            self.skip_to(purged, queue, &mut events);
        }
        // The last of the recent messages may have been removed in the meantime.
        self.fill(u64::MAX, &mut events);
        events
    }

    /// Interrupts the connection.
    pub(super) fn interrupt(&mut self) -> Vec<SourceEvent> {
        let was_subscribed = std::mem::take(&mut self.is_subscribed);
        was_subscribed.then(|| SourceEvent::Interrupted { reason: "away".into() }).into_iter().collect()
    }

    /// Ends a delay.
    pub(super) fn release(&mut self, queue: &Queue) -> Vec<SourceEvent> {
        let was_behind = std::mem::take(&mut self.held) == Held::Lagging && self.filling.is_none();
        let mut events = self.deliver(queue);
        if was_behind && self.is_subscribed {
            events.push(SourceEvent::Lag { messages: 0 });
        }
        events
    }

    fn skip_to(&mut self, after: EventId, queue: &Queue, events: &mut Vec<SourceEvent>) {
        if self.last != Some(after) {
            let start = EventId { incarnation: queue.incarnation(), sequence: 0 };
            let lost = match self.last {
                Some(last) => (last, after),
                None => (start, EventId { sequence: queue.first() - 1, ..after }),
            };
            self.lost.push(lost);
            self.last = Some(after);
            events.push(SourceEvent::Resync { after });
        }
    }

    /// Records that everything up to `sequence` was delivered.
    fn fill(&mut self, sequence: u64, events: &mut Vec<SourceEvent>) {
        if self.filling.is_some_and(|last| sequence >= last) {
            self.filling = None;
            events.push(SourceEvent::Subscribed);
        }
    }
}

impl Message {
    fn read(&self, id: EventId, age: Duration) -> SourceEvent {
        match self.payload.clone() {
            Payload::Event { recipients, event_type, content } => SourceEvent::Notification {
                notification: Notification { id, recipients, event_type, content, session_id: None },
                age,
                metadata: MessageMetadata::default(),
            },
            Payload::Language(choice) => SourceEvent::LanguageChosen(choice),
        }
    }
}

/// The bucket of bookmarks, as a journal.
#[derive(Default)]
pub(super) struct BookmarkBucket {
    pub(super) published: Vec<PublishedBookmark>,
}

/// A bookmark, with the run of the instance that published it and the time.
pub(super) struct PublishedBookmark {
    pub(super) bookmark: Bookmark,
    pub(super) by: Run,
    pub(super) at: Instant,
}

/// The bucket of languages.
#[derive(Default)]
pub(super) struct LanguageBucket {
    clock: u64,
    stored: HashMap<UserId, LanguageChoice>,
    /// All stored choices, in order.
    pub(super) journal: Vec<LanguageChoice>,
}

impl LanguageBucket {
    /// Returns the next time of a clock that counts choices.
    pub(super) fn now(&mut self) -> Duration {
        self.clock += 1;
        s(self.clock)
    }

    /// Returns the time of the stored choice of `user`.
    pub(super) fn chosen_at(&self, user: &UserId) -> Option<Duration> {
        self.stored.get(user).map(|choice| choice.chosen_at)
    }

    /// Stores a choice, unless a later one is stored already.
    pub(super) fn store(&mut self, choice: LanguageChoice) {
        if self.chosen_at(&choice.user).is_none_or(|chosen_at| chosen_at < choice.chosen_at) {
            self.stored.insert(choice.user.clone(), choice.clone());
            self.journal.push(choice);
        }
    }
}
