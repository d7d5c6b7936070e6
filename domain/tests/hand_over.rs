//! The handover of an event from the thread that appends it to the connection that takes it. The model checker loom runs every interleaving
//! of the threads: a connection that waits is woken by the next event, and takes each event once and in order.

#![cfg(loom)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    identity::{IssuedAt, UserId},
    jitter::Jitter,
    language::{LanguageTag, Languages},
    log::{
        Delivery, EndReason, EventLog, Item, LogLimits, Mailbox, NewEvent, NewStream, Note, StreamId,
        StreamLimits, TurnOutcome,
    },
    notification::{EventId, EventType, Incarnation, Notification, Recipients},
    session::{Now, Session},
};
use loom::{
    sync::{Mutex, Notify},
    thread,
};

/// A connection is a thread that sleeps until it is woken.
type Connection = Arc<Notify>;
type Log = EventLog<(), Connection>;

fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(1), sequence }
}

fn user() -> UserId {
    UserId::try_new("einstein").expect("a user id")
}

#[expect(clippy::disallowed_methods, reason = "a test starts at any time")]
fn now() -> Instant {
    Instant::now()
}

/// Returns an empty log that has started.
fn log(max_age: Duration, max_bytes: usize) -> Log {
    let limits = LogLimits { max_age, max_bytes };
    let mut log = EventLog::new(limits, StreamLimits { total: usize::MAX, per_user: usize::MAX });
    log.resync(id(0), now(), &mut |_| (), &mut |_| ());
    log
}

/// Appends an event. Returns the number of deliveries that this completes: of the event itself, and of those that are evicted.
fn append(log: &Mutex<Log>, sequence: u64) -> usize {
    let notification = Notification {
        id: id(sequence),
        recipients: Recipients::Users(vec![user()]),
        event_type: EventType::try_new("t").expect("an event type"),
        content: "x".into(),
        session_id: None,
    };
    let event = NewEvent { notification, encoded: (), published: now() };
    let mut log = log.lock().expect("no panic");
    let mut appending = log.start_append(event, now()).expect("the log has started");
    let mut completed = 0;
    let wake = &mut |connection: &Connection| connection.notify();
    let appended = log.append_batch(&mut appending, now(), wake, &mut |_| completed += 1);
    completed + usize::from(appended.expect("one user at a time").is_delivered)
}

fn prune(log: &mut Log) {
    let mailboxes: Vec<_> = log.mailboxes().cloned().collect();
    log.prune(&mailboxes, now(), Some(now()), &mut |_| ());
}

/// A stream as its connection sees it.
struct Reader {
    mailbox: Arc<Mailbox<(), Connection>>,
    id: StreamId,
    connection: Connection,
    taken: Vec<u64>,
    /// The number of events whose last reader the stream was.
    completed: usize,
}

impl Reader {
    fn open(log: &mut Log) -> Self {
        let connection = Arc::new(Notify::new());
        let session = Session::new(
            Now { instant: now(), unix_time: Duration::ZERO },
            Duration::MAX,
            None,
            Jitter::of(0),
        );
        let preference = Languages::new(LanguageTag::default()).preference(&user(), None);
        let stream = NewStream {
            connection: Arc::clone(&connection),
            session,
            request: None,
            preference,
            issued_at: IssuedAt::UNKNOWN,
            session_id: None,
        };
        let (mailbox, id) = log.open(&user(), stream);
        log.start(&mailbox, id, self::id(0), None);
        Self { mailbox, id, connection, taken: Vec::new(), completed: 0 }
    }

    /// Takes turns as a connection does, until `is_done` or the end of the stream.
    fn run(mut self, is_done: impl Fn(&Self) -> bool) -> Self {
        loop {
            match self.turn() {
                TurnOutcome::End => return self,
                _ if is_done(&self) => return self,
                TurnOutcome::Wait => self.connection.wait(),
                TurnOutcome::More | TurnOutcome::LoggedOut => {}
            }
        }
    }

    fn turn(&mut self) -> TurnOutcome {
        let Self { mailbox, id, taken, completed, .. } = self;
        // With such a small limit each event needs its own turn.
        mailbox
            .take(*id, now(), 1, &mut |_, item| {
                if let Item::Event(entry, delivery) = item {
                    taken.push(entry.notification.id.sequence);
                    *completed += usize::from(delivery == Delivery::Live { is_last: true });
                }
                1
            })
            .outcome
    }
}

#[test]
fn each_event_is_taken_once_and_in_order() {
    loom::model(|| {
        let mut log = log(Duration::MAX, usize::MAX);
        let reader = Reader::open(&mut log);
        let log = Mutex::new(log);
        let reading = thread::spawn(move || reader.run(|reader| reader.taken.len() == 3));
        let appended: usize = (1..=3).map(|sequence| append(&log, sequence)).sum();
        let reader = reading.join().expect("no panic");
        assert_eq!(reader.taken, [1, 2, 3]);
        assert_eq!(appended + reader.completed, 3, "each delivery is complete once");
    });
}

#[test]
fn two_streams_complete_a_delivery_once() {
    loom::model(|| {
        let mut log = log(Duration::MAX, usize::MAX);
        let readers = [Reader::open(&mut log), Reader::open(&mut log)];
        let log = Mutex::new(log);
        let reading =
            readers.map(|reader| thread::spawn(move || reader.run(|reader| reader.taken.len() == 1)));
        let appended = append(&log, 1);
        let completed: usize =
            reading.map(|reading| reading.join().expect("no panic").completed).iter().sum();
        assert_eq!(appended + completed, 1);
    });
}

/// The log holds one event, so each append evicts the one before, whether it was taken or not.
#[test]
fn eviction_or_take_completes_a_delivery_once() {
    loom::model(|| {
        let mut log = log(Duration::MAX, 1);
        let reader = Reader::open(&mut log);
        let log = Mutex::new(log);
        let reading = thread::spawn(move || reader.run(|reader| reader.taken.last() == Some(&3)));
        let appended: usize = (1..=3).map(|sequence| append(&log, sequence)).sum();
        let reader = reading.join().expect("no panic");
        assert!(reader.taken.is_sorted(), "{:?}", reader.taken);
        assert_eq!(appended + reader.completed, 3);
    });
}

#[test]
fn stream_ended_meanwhile_takes_earlier_events() {
    loom::model(|| {
        let mut log = log(Duration::MAX, usize::MAX);
        let reader = Reader::open(&mut log);
        let (mailbox, id, connection) =
            (Arc::clone(&reader.mailbox), reader.id, Arc::clone(&reader.connection));
        let log = Arc::new(Mutex::new(log));
        let reading = thread::spawn(move || reader.run(|_| false));
        let ending = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                log.lock().expect("no panic").end(&mailbox, id, EndReason::Expired, None).expect("open");
                connection.notify();
            })
        };
        append(&log, 1);
        ending.join().expect("no panic");
        let taken = reading.join().expect("no panic").taken;
        assert!(taken.is_empty() || taken == [1], "{taken:?}");
    });
}

#[test]
fn note_wakes_a_waiting_connection() {
    loom::model(|| {
        let mut log = log(Duration::MAX, usize::MAX);
        let reader = Reader::open(&mut log);
        let (mailbox, id, connection) =
            (Arc::clone(&reader.mailbox), reader.id, Arc::clone(&reader.connection));
        let log = Mutex::new(log);
        let reading = thread::spawn(move || {
            let keepalives = std::cell::Cell::new(0);
            let mut reader = reader;
            while keepalives.get() == 0 || reader.taken.is_empty() {
                let Reader { mailbox, id, connection, taken, .. } = &mut reader;
                let turn = mailbox.take(*id, now(), 1, &mut |_, item| {
                    match item {
                        Item::Note(Note::Keepalive, _) => keepalives.set(keepalives.get() + 1),
                        Item::Event(entry, _) => taken.push(entry.notification.id.sequence),
                        _ => {}
                    }
                    1
                });
                let is_done = keepalives.get() == 1 && !taken.is_empty();
                if turn.outcome == TurnOutcome::Wait && !is_done {
                    connection.wait();
                }
            }
            keepalives.get()
        });
        let woken = mailbox.with_stream(id, |stream| stream.add_note(Note::Keepalive)).expect("open");
        if woken {
            connection.notify();
        }
        append(&log, 1);
        assert_eq!(reading.join().expect("no panic"), 1);
    });
}

/// Without a history the log is pruned while connections take events.
#[test]
fn pruning_keeps_events_to_take() {
    loom::model(|| {
        let mut log = log(Duration::ZERO, usize::MAX);
        let reader = Reader::open(&mut log);
        let log = Mutex::new(log);
        let reading = thread::spawn(move || reader.run(|reader| reader.taken.len() == 2));
        append(&log, 1);
        prune(&mut log.lock().expect("no panic"));
        append(&log, 2);
        assert_eq!(reading.join().expect("no panic").taken, [1, 2]);
        let mut log = log.lock().expect("no panic");
        prune(&mut log);
        assert_eq!(log.newest_first().count(), 0);
    });
}
