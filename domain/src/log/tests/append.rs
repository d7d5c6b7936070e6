//! Streams that open, start, end and close while an event for many users is being appended.

use super::*;

/// The recipients of the event, in the order in which they get it. A batch is two mailboxes.
const USERS: [&str; 4] = ["a", "b", "c", "d"];

impl Harness {
    /// Starts to append an event for all users, and appends the first batch.
    fn half_appended(&mut self) -> Appending<(), &'static str> {
        self.sequence += 1;
        let event = event(self.sequence, users(&USERS), "t", 1);
        let mut appending = self.log.start_append(event, self.now.get()).expect("the log has started");
        assert_eq!(self.append_batch(&mut appending), None);
        appending
    }
}

#[test]
fn stream_opened_meanwhile_gets_the_event_once() {
    let mut harness = Harness::new(NO_LIMITS);
    let mut appending = harness.half_appended();
    assert_eq!(harness.log.latest(), Some(id(0)), "not fully appended");
    let readers = USERS.map(|user| harness.open_after(user, "x", id(0)));
    // Two of the mailboxes had the event when their streams were opened.
    let appended = harness.append_batch(&mut appending).expect("the rest");
    assert_eq!((appended.streams, harness.log.latest()), (2, Some(id(1))));
    let taken = readers.each_ref().map(Reader::take_all);
    let expected = ["1 replay", "1 replay", "1", "1 last"].map(|event| ["opening at 0", event]);
    assert_eq!(taken, expected);
    harness.append(&USERS);
    let taken = readers.each_ref().map(Reader::take_all);
    assert_eq!(taken, [["2"], ["2"], ["2"], ["2 last"]]);
}

#[test]
fn stream_ended_meanwhile_takes_its_mailbox() {
    let mut harness = Harness::new(NO_LIMITS);
    let readers = USERS.map(|user| harness.open(user, "x"));
    let mut appending = harness.half_appended();
    for reader in [&readers[1], &readers[2]] {
        harness.end(reader, EndReason::Administrator);
    }
    let appended = harness.append_batch(&mut appending).expect("the rest");
    assert_eq!((appended.streams, appended.is_delivered), (3, false));
    let taken = readers.each_ref().map(|reader| reader.take().0);
    assert_eq!(taken, [vec!["1"], vec!["1", "Administrator"], vec!["Administrator"], vec!["1 last"]]);
}

#[test]
fn stream_closed_meanwhile_completes_the_delivery() {
    let mut harness = Harness::new(NO_LIMITS);
    let readers = USERS.map(|user| harness.open(user, "x"));
    let mut appending = harness.half_appended();
    let completed = readers.each_ref().map(|reader| harness.close(reader));
    assert_eq!(completed, [const { Vec::<u64>::new() }; 4]);
    let appended = harness.append_batch(&mut appending).expect("the rest");
    assert!(appended.streams == 2 && appended.is_delivered, "nobody else will take it");
    let taken = USERS.map(|user| harness.open_after(user, "x", id(0)).take_all());
    assert_eq!(taken, [(); 4].map(|()| ["opening at 0", "1 replay"]));
}

#[test]
fn event_without_readers_is_not_delivered() {
    let mut harness = Harness::new(NO_LIMITS);
    let appended = harness.append(&USERS);
    assert_eq!((appended.streams, appended.is_delivered), (0, false));
}

#[test]
fn event_is_held_until_it_is_appended() {
    for limits in
        [LogLimits { max_bytes: 1, ..NO_LIMITS }, LogLimits { max_age: Duration::ZERO, ..NO_LIMITS }]
    {
        let mut harness = Harness::new(limits);
        let readers = USERS.map(|user| harness.open(user, "x"));
        let mut appending = harness.half_appended();
        harness.advance(Duration::from_secs(1));
        assert!(harness.append_batch(&mut appending).is_some());
        let taken = readers.each_ref().map(Reader::take_all);
        assert_eq!(taken, [["1"], ["1"], ["1"], ["1 last"]], "{limits:?}");
        harness.close(&readers[0]);
        harness.append(&USERS);
        harness.advance(Duration::from_secs(1));
        assert_eq!(readers[1..].iter().map(|reader| reader.lag().events).collect::<Vec<_>>(), [1; 3]);
    }
}

/// Only the user's mailbox knew of the gap.
#[test]
fn gap_pruned_meanwhile_is_reported() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&["d"]);
    for _ in 0..2 {
        harness.now.set(harness.now.get() + MINUTE);
        let now = harness.now.get();
        while harness.log.evict(now, &mut |_| ()) {}
    }
    let mut appending = harness.half_appended();
    harness.advance(Duration::from_secs(1));
    assert!(harness.append_batch(&mut appending).is_some());
    let returning = harness.open_after("d", "x", id(0));
    assert_eq!(returning.take_all(), ["opening at ?", "Expired after 7-0, at 1", "2 replay"]);
}

#[test]
fn event_is_evicted_from_every_mailbox() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&USERS);
    harness.advance(MINUTE);
    let taken = USERS.map(|user| harness.open_after(user, "x", id(0)).take_all());
    assert_eq!(taken, [(); 4].map(|()| ["opening at ?", "Expired after 7-0, at 1"]));
}

/// Without a history the log remembers that users without a stream have missed an event. A user with a stream has missed none.
#[test]
fn unstarted_stream_has_no_gap_of_absent_users() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let unstarted = harness.open_unstarted("d", "x");
    harness.append(&USERS);
    harness.log.start(&unstarted.mailbox, unstarted.id, id(0), None);
    assert_eq!(unstarted.take_all(), ["opening at 0", "1 replay"]);
}

/// Without a history no event is held for users without a stream.
#[test]
fn client_returning_meanwhile_gets_a_gap() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let mut appending = harness.half_appended();
    let returning = harness.open_after("a", "x", id(0));
    assert!(harness.append_batch(&mut appending).is_some());
    assert_eq!(returning.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
}
