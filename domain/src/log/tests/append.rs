//! An event for many users is appended step by step, and streams open, start, end and close meanwhile.

use super::*;

/// Users in the order in which they get the event: the first two at once, the others later.
const USERS: [&str; 4] = ["a", "b", "c", "d"];

impl Played {
    /// An event for all users, of which the first two have it.
    fn half_appended(&mut self) -> Appending<(), &'static str> {
        self.sequence += 1;
        let event = event(self.sequence, users(&USERS), "t", 1);
        let mut appending = self.log.start_append(event, self.now.get()).expect("the log has started");
        assert_eq!(self.append_batch(&mut appending), None);
        appending
    }
}

#[test]
fn stream_that_is_opened_meanwhile_gets_the_event_once() {
    let mut played = Played::new(NO_LIMITS);
    let mut appending = played.half_appended();
    assert_eq!(played.log.latest(), Some(id(0)), "not everybody has it");
    let readers = USERS.map(|user| played.open_after(user, "x", id(0)));
    // Two of them find it when they are opened.
    let appended = played.append_batch(&mut appending).expect("the rest");
    assert_eq!((appended.streams, played.log.latest()), (2, Some(id(1))));
    let taken = readers.each_ref().map(Reader::take_all);
    let expected = ["1 again", "1 again", "1", "1 last"].map(|event| ["opening at 0", event]);
    assert_eq!(taken, expected);
    played.append(&USERS);
    let taken = readers.each_ref().map(Reader::take_all);
    assert_eq!(taken, [["2"], ["2"], ["2"], ["2 last"]]);
}

#[test]
fn stream_that_is_ended_meanwhile_takes_what_its_user_has() {
    let mut played = Played::new(NO_LIMITS);
    let readers = USERS.map(|user| played.open(user, "x"));
    let mut appending = played.half_appended();
    for reader in [&readers[1], &readers[2]] {
        played.end(reader, EndReason::Administrator);
    }
    let appended = played.append_batch(&mut appending).expect("the rest");
    assert_eq!((appended.streams, appended.is_delivered), (3, false));
    let taken = readers.each_ref().map(|reader| reader.take().0);
    assert_eq!(taken, [vec!["1"], vec!["1", "Administrator"], vec!["Administrator"], vec!["1 last"]]);
}

#[test]
fn stream_that_is_closed_meanwhile_completes_its_delivery() {
    let mut played = Played::new(NO_LIMITS);
    let readers = USERS.map(|user| played.open(user, "x"));
    let mut appending = played.half_appended();
    let completed = readers.each_ref().map(|reader| played.close(reader));
    assert_eq!(completed, [const { Vec::<u64>::new() }; 4]);
    let appended = played.append_batch(&mut appending).expect("the rest");
    assert!(appended.streams == 2 && appended.is_delivered, "as far as it ever will be");
    let taken = USERS.map(|user| played.open_after(user, "x", id(0)).take_all());
    assert_eq!(taken, [(); 4].map(|()| ["opening at 0", "1 again"]));
}

#[test]
fn event_that_no_stream_takes_is_not_delivered() {
    let mut played = Played::new(NO_LIMITS);
    let appended = played.append(&USERS);
    assert_eq!((appended.streams, appended.is_delivered), (0, false));
}

#[test]
fn event_stays_until_everybody_could_take_it() {
    for limits in
        [LogLimits { max_bytes: 1, ..NO_LIMITS }, LogLimits { max_age: Duration::ZERO, ..NO_LIMITS }]
    {
        let mut played = Played::new(limits);
        let readers = USERS.map(|user| played.open(user, "x"));
        let mut appending = played.half_appended();
        played.pass(Duration::from_secs(1));
        assert!(played.append_batch(&mut appending).is_some());
        let taken = readers.each_ref().map(Reader::take_all);
        assert_eq!(taken, [["1"], ["1"], ["1"], ["1 last"]], "{limits:?}");
        played.close(&readers[0]);
        played.append(&USERS);
        played.pass(Duration::from_secs(1));
        assert_eq!(readers[1..].iter().map(|reader| reader.lag().events).collect::<Vec<_>>(), [1; 3]);
    }
}

/// It was known by the user's mailbox alone.
#[test]
fn gap_that_is_forgotten_meanwhile_is_told() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&["d"]);
    for _ in 0..2 {
        played.now.set(played.now.get() + MINUTE);
        let now = played.now.get();
        while played.log.evict(now) {}
    }
    let mut appending = played.half_appended();
    played.pass(Duration::from_secs(1));
    assert!(played.append_batch(&mut appending).is_some());
    let back = played.open_after("d", "x", id(0));
    assert_eq!(back.take_all(), ["opening at ?", "Expired after 7-0, at 1", "2 again"]);
}

#[test]
fn event_is_removed_from_every_mailbox() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&USERS);
    played.pass(MINUTE);
    let taken = USERS.map(|user| played.open_after(user, "x", id(0)).take_all());
    assert_eq!(taken, [(); 4].map(|()| ["opening at ?", "Expired after 7-0, at 1"]));
}

/// Without a history it is remembered of users who have no stream that they missed something: the others did not.
#[test]
fn stream_that_waits_for_its_start_misses_nothing_that_others_do() {
    let mut played = Played::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let waiting = played.join("d", "x");
    played.append(&USERS);
    played.log.start(&waiting.mailbox, waiting.id, id(0), None);
    assert_eq!(waiting.take_all(), ["opening at 0", "1 again"]);
}

/// Without a history nothing is held for users who have no stream.
#[test]
fn client_that_returns_meanwhile_is_told_of_a_gap() {
    let mut played = Played::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let mut appending = played.half_appended();
    let back = played.open_after("a", "x", id(0));
    assert!(played.append_batch(&mut appending).is_some());
    assert_eq!(back.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
}
