//! The log as seen by its connections: what each stream takes, and when its connection is woken.

mod append;
mod continuing;
mod everyone;
mod missing;
mod model;
mod resuming;
mod retention;
mod streams;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::*;
use crate::{
    gap::Gap,
    jitter::Jitter,
    language::{LanguageTag, Languages},
    notification::{EventType, Incarnation, Notification, Recipients},
    session::Now,
};

const MINUTE: Duration = Duration::from_mins(1);
const NO_LIMITS: LogLimits = LogLimits { max_age: MINUTE, max_bytes: usize::MAX };
const ANY_STREAMS: StreamLimits = StreamLimits { total: usize::MAX, per_user: usize::MAX };

/// The session in which all streams were opened.
const SESSION: &str = "a session";

/// A log in which the connection of a stream is a name.
type Log = EventLog<(), &'static str>;

/// Returns `instant` with an arbitrary wall clock.
fn present(instant: Instant) -> Now {
    Now { instant, unix_time: Duration::ZERO }
}

fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(7), sequence }
}

fn user(name: &str) -> UserId {
    UserId::try_new(name).expect("a user id")
}

fn users(names: &[&str]) -> Recipients {
    names.iter().map(|name| user(name)).collect()
}

fn event(sequence: u64, recipients: Recipients, event_type: &str, bytes: usize) -> NewEvent<()> {
    let notification = Notification {
        id: id(sequence),
        recipients,
        event_type: EventType::try_new(event_type).expect("an event type"),
        content: "x".repeat(bytes).into(),
        session_id: None,
    };
    NewEvent { notification, encoded: (), published: Instant::now() }
}

/// A log with a clock that the test advances. It records which connections were woken.
struct Harness {
    log: Log,
    now: Rc<Cell<Instant>>,
    sequence: u64,
    woken: Vec<&'static str>,
    /// The sequences of the events whose last reader has lost them by eviction.
    abandoned: Vec<u64>,
}

/// A stream as its connection sees it.
struct Reader {
    now: Rc<Cell<Instant>>,
    mailbox: Arc<Mailbox<(), &'static str>>,
    id: StreamId,
}

impl Harness {
    fn new(limits: LogLimits) -> Self {
        let mut harness = Self {
            log: EventLog::new(limits, ANY_STREAMS),
            now: Rc::new(Cell::new(Instant::now())),
            sequence: 0,
            woken: Vec::new(),
            abandoned: Vec::new(),
        };
        harness.resync(id(0));
        harness
    }

    fn resync(&mut self, after: EventId) {
        let wake = &mut |name: &&'static str| self.woken.push(name);
        let abandoned = &mut |entry: &Entry<()>| self.abandoned.push(entry.notification.id.sequence);
        self.log.resync(after, self.now.get(), wake, abandoned);
        self.sequence = after.sequence;
    }

    fn advance(&mut self, time: Duration) {
        self.now.set(self.now.get() + time);
        let now = self.now.get();
        while self.log.evict(now, &mut |entry| self.abandoned.push(entry.notification.id.sequence)) {}
        self.sweep();
    }

    fn sweep(&mut self) {
        let now = self.now.get();
        let mailboxes: Vec<_> = self.log.mailboxes().cloned().collect();
        let abandoned = &mut |entry: &Entry<()>| self.abandoned.push(entry.notification.id.sequence);
        self.log.prune(&mailboxes, now, Some(now), abandoned);
    }

    fn append(&mut self, users: &[&str]) -> Appended {
        self.append_event(users, "t", 1)
    }

    fn append_event(&mut self, names: &[&str], event_type: &str, bytes: usize) -> Appended {
        self.append_for(users(names), event_type, bytes)
    }

    fn append_for(&mut self, recipients: Recipients, event_type: &str, bytes: usize) -> Appended {
        self.sequence += 1;
        let event = event(self.sequence, recipients, event_type, bytes);
        let mut appending = self.log.start_append(event, self.now.get()).expect("the log has started");
        loop {
            if let Some(appended) = self.append_batch(&mut appending) {
                return appended;
            }
            // Something else uses the log between two batches.
            self.advance(Duration::ZERO);
        }
    }

    fn append_batch(&mut self, appending: &mut Appending<(), &'static str>) -> Option<Appended> {
        let wake = &mut |name: &&'static str| self.woken.push(name);
        let abandoned = &mut |entry: &Entry<()>| self.abandoned.push(entry.notification.id.sequence);
        self.log.append_batch(appending, self.now.get(), wake, abandoned)
    }

    /// Returns the connections woken since the last call.
    fn woken(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.woken)
    }

    /// Opens a stream without starting it.
    fn open_unstarted(&mut self, name: &str, connection: &'static str) -> Reader {
        let session = Session::new(present(self.now.get()), Duration::MAX, None, Jitter::of(0));
        let request = Some(RequestId::try_new(connection).expect("a request id"));
        let preference = Languages::new(LanguageTag::default()).preference(&user(name), None);
        let (issued_at, session_id) = (IssuedAt::UNKNOWN, SessionId::of(SESSION).map(Box::new));
        let stream = NewStream { connection, session, request, preference, issued_at, session_id };
        let (mailbox, id) = self.log.open(&user(name), stream);
        Reader { now: Rc::clone(&self.now), mailbox, id }
    }

    /// Opens a stream that starts after the event `after`.
    fn open_after(&mut self, user: &str, connection: &'static str, after: EventId) -> Reader {
        let reader = self.open_unstarted(user, connection);
        self.log.start(&reader.mailbox, reader.id, after, None);
        reader
    }

    /// Opens a stream that starts after the last event and has taken its opening note.
    fn open(&mut self, user: &str, connection: &'static str) -> Reader {
        let latest = self.log.latest().expect("the log has started");
        let reader = self.open_after(user, connection, latest);
        assert_eq!(reader.take(), (vec![format!("opening at {}", latest.sequence)], TurnOutcome::Wait));
        reader
    }

    fn end(&mut self, reader: &Reader, reason: EndReason) -> Option<Ended> {
        self.log.end(&reader.mailbox, reader.id, reason, Some(self.now.get()))
    }

    /// Closes a stream. Returns the sequences of the events whose last reader it was.
    fn close(&mut self, reader: &Reader) -> Vec<u64> {
        let abandoned = RefCell::new(Vec::new());
        self.log.close(&reader.mailbox, reader.id, &mut |entry| {
            abandoned.borrow_mut().push(entry.notification.id.sequence);
        });
        abandoned.into_inner()
    }
}

impl Reader {
    fn take(&self) -> (Vec<String>, TurnOutcome) {
        self.take_up_to(usize::MAX)
    }

    /// Takes the next items. Each is described in words, for example `3 replay` or `position at 5`.
    fn take_up_to(&self, limit: usize) -> (Vec<String>, TurnOutcome) {
        let mut taken = Vec::new();
        let Turn { outcome, .. } = self.mailbox.take(self.id, self.now.get(), limit, &mut |_, item| {
            let (words, bytes) = match item {
                Item::Note(note, position) => {
                    let position = position.map_or("?".to_owned(), |position| position.sequence.to_string());
                    (format!("{note:?} at {position}").to_lowercase(), 0)
                }
                Item::Gap(Gap { last_event_id, reason }, position) => {
                    let last = last_event_id.unwrap_or_default();
                    (format!("{reason:?} after {last}, at {}", position.sequence), 0)
                }
                Item::Event(entry, delivery) => {
                    let how = match delivery {
                        Delivery::Live { is_last: true } => " last",
                        Delivery::Live { is_last: false } => "",
                        Delivery::Replay => " replay",
                    };
                    let Notification { id, content, .. } = &entry.notification;
                    (format!("{}{how}", id.sequence), content.bytes())
                }
                Item::Closing(reason) => (format!("{reason:?}"), 0),
            };
            taken.push(words);
            bytes
        });
        (taken, outcome)
    }

    /// Takes everything in one turn.
    fn take_all(&self) -> Vec<String> {
        let (taken, outcome) = self.take();
        assert_eq!(outcome, TurnOutcome::Wait, "after {taken:?}");
        taken
    }

    fn lag(&self) -> Lag {
        let mut found = None;
        self.mailbox.for_each_stream(|stream, lag| {
            if stream.id() == self.id {
                found = Some(lag);
            }
        });
        found.expect("an open stream")
    }
}

/// Every open stream has its own allocations of these types. The next larger size class of the allocator would cost each of them.
#[test]
fn stream_takes_little_memory() {
    assert!(size_of::<Stream<Arc<dyn Send>>>() <= 96);
    assert!(2 * size_of::<usize>() + size_of::<Mailbox<(), Arc<dyn Send>>>() <= 64);
}
