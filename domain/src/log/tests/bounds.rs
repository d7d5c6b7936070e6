//! What the log holds, and what its streams are told of the rest.

use super::*;
use crate::log::append::STEP;

fn entry_bytes() -> usize {
    Entry::new(event(1, users(&["a"]), "t", 1), 0, Instant::now()).0.bytes
}

pub(super) fn holding(entries: usize) -> LogLimits {
    LogLimits { max_bytes: entries * entry_bytes(), ..NO_LIMITS }
}

pub(super) fn sequences(log: &Log) -> Vec<u64> {
    let mut held: Vec<_> = log.newest_first().map(|(entry, _)| entry.notification.id.sequence).collect();
    held.reverse();
    held
}

#[test]
fn old_events_are_removed_and_the_gap_is_told() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&["a"]);
    played.pass(MINUTE / 2);
    played.append(&["a", "b"]);
    played.pass(Duration::from_millis(29_999));
    assert_eq!(sequences(&played.log), [1, 2]);
    played.pass(Duration::from_millis(1));
    assert_eq!(sequences(&played.log), [2]);
    let mut taken = |user: &str, after| played.open_after(user, "tab", id(after)).take_all();
    assert_eq!(taken("a", 0), ["opening at ?", "Expired after 7-0, at 1", "2 again"]);
    assert_eq!(taken("a", 1), ["opening at 1", "2 again"]);
    // Of b and c nothing was removed.
    assert_eq!(taken("b", 0), ["opening at 0", "2 again"]);
    assert_eq!(taken("c", 0), ["opening at 2"]);
    // In the end nobody knows of whom something was removed.
    played.pass(MINUTE);
    let mut taken = |user: &str, after| played.open_after(user, "tab", id(after)).take_all();
    assert_eq!(taken("c", 1), ["opening at ?", "Expired after 7-1, at 2"]);
    assert_eq!(taken("c", 2), ["opening at 2"]);
}

/// Others have their turn at the log between one part and the next.
#[test]
fn event_of_many_users_is_removed_in_parts() {
    let mut played = Played::new(NO_LIMITS);
    let users: Vec<_> = (0..10 * STEP).map(|n| n.to_string()).collect();
    played.append(&users.iter().map(String::as_str).collect::<Vec<_>>());
    let now = played.now.get() + MINUTE;
    let mut parts = 0;
    while played.log.evict(now) {
        parts += 1;
    }
    assert_eq!(parts, 2, "before the last of them");
}

#[test]
fn log_takes_its_bytes_and_no_more() {
    let both = 2 * (entry_bytes() + MAILBOX_BYTES);
    let check = |max_bytes: usize, expected: &[u64]| {
        let mut played = Played::new(LogLimits { max_bytes, ..NO_LIMITS });
        played.append(&["a"]);
        played.append(&["b"]);
        assert_eq!(sequences(&played.log), expected, "{max_bytes} bytes");
    };
    check(both, &[1, 2]);
    check(both - 1, &[2]);
}

/// However short the time is for which bytes allow events to be held, it is known who has missed something.
#[test]
fn nobody_is_told_of_a_gap_because_others_have_missed_something() {
    let mut played = Played::new(holding(6));
    played.append(&["a"]);
    for n in 0..20 {
        played.append(&[if n % 2 == 0 { "busy" } else { "others" }]);
    }
    assert!(sequences(&played.log)[0] > 1);
    let mut taken = |user: &str, after| played.open_after(user, "tab", id(after)).take_all();
    assert_eq!(taken("a", 0), ["opening at ?", "Limit after 7-0, at 1", "position at 21"]);
    assert_eq!(taken("a", 1), ["opening at 21"]);
    assert_eq!(taken("b", 0), ["opening at 21"]);
}

/// Users are too many to remember of each whether something was removed.
#[test]
fn log_stays_within_its_bytes_however_many_users_there_are() {
    let mut played = Played::new(holding(10));
    for n in 0..1000 {
        played.append(&[&n.to_string()]);
        played.pass(Duration::from_secs(1));
    }
    let mailboxes = played.log.mailboxes.len() * MAILBOX_BYTES;
    assert!(played.log.bytes + mailboxes <= holding(10).max_bytes, "{mailboxes}");
    let taken = played.open_after("0", "tab", id(0)).take_all();
    assert!(taken[1].starts_with("Limit after 7-0"), "{taken:?}");
}

#[test]
fn slow_stream_is_told_of_a_gap_and_goes_on() {
    let mut played = Played::new(holding(6));
    let slow = played.open("a", "a1");
    for _ in 0..8 {
        played.append(&["a"]);
    }
    // A user's share is half of the log.
    assert_eq!(slow.lag(), Lag { events: 3, bytes: 3 * entry_bytes() as u64 });
    assert_eq!(slow.take_all(), ["Limit after 7-0, at 5", "6 last", "7 last", "8 last"]);
    played.append(&["a"]);
    assert_eq!(slow.take_all(), ["9 last"]);
    played.append(&["a"]);
    played.pass(MINUTE);
    assert_eq!(slow.take_all(), ["Expired after 7-9, at 10"]);
}

#[test]
fn slow_stream_is_told_once_although_events_go_on_being_removed() {
    let mut played = Played::new(holding(6));
    let slow = played.open("a", "a1");
    for _ in 0..8 {
        played.append(&["a"]);
    }
    assert_eq!(
        slow.take_up_to(1),
        (vec!["Limit after 7-0, at 5".to_owned(), "6 last".to_owned()], TurnOutcome::More)
    );
    assert_eq!(slow.lag(), Lag { events: 2, bytes: 2 * entry_bytes() as u64 });
    assert_eq!(slow.take_all(), ["7 last", "8 last"]);
}

#[test]
fn stream_that_has_taken_everything_is_told_of_no_gap() {
    let mut played = Played::new(holding(6));
    let idle = played.open("a", "a1");
    played.append(&["a"]);
    assert_eq!(idle.take_all(), ["1 last"]);
    for _ in 0..20 {
        played.append(&["b"]);
    }
    played.pass(2 * MINUTE);
    for _ in 0..3 {
        played.append(&["b"]);
    }
    played.append(&["a"]);
    assert_eq!(idle.take_all(), ["25 last"]);
    // A client that returns gets the same answer from its user's mailbox.
    assert_eq!(played.open_after("a", "a2", id(1)).take_all(), ["opening at 1", "25 again"]);
}

#[test]
fn log_that_starts_anew_is_told_to_streams_that_have_missed_something() {
    let mut played = Played::new(NO_LIMITS);
    let (idle, behind) = (played.open("a", "a1"), played.open("b", "b1"));
    played.append(&["b"]);
    played.woken();
    played.resync(id(5));
    assert_eq!(played.woken(), ["a1"], "the other was woken before");
    played.append(&["a"]);
    assert_eq!(idle.take_all(), ["Expired after 7-0, at 5", "6 last"]);
    assert_eq!(behind.take_all(), ["Expired after 7-0, at 5"]);
    let elsewhere = EventId { incarnation: Incarnation::of(8), sequence: 0 };
    played.resync(elsewhere);
    assert_eq!(idle.take_all(), ["Unknown after 7-6, at 0"]);
}

#[test]
fn without_age_an_event_stays_until_every_stream_has_taken_it() {
    let mut played = Played::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let [fast, slow] = ["a1", "a2"].map(|name| played.open("a", name));
    let other = played.open("b", "b1");
    played.append(&["a"]);
    played.append(&["a", "b"]);
    played.append(&["nobody"]);
    assert_eq!(fast.take_all(), ["1", "2"]);
    played.pass(MINUTE);
    assert_eq!(sequences(&played.log), [1, 2]);
    assert_eq!(slow.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    played.pass(MINUTE);
    assert_eq!(sequences(&played.log), [2]);
    assert_eq!((slow.take_all(), other.take_all()), (vec!["2".to_owned()], vec!["2 last".to_owned()]));
    played.pass(MINUTE);
    assert_eq!((played.log.bytes, sequences(&played.log)), (0, vec![]));
    assert_eq!(
        played.open_after("a", "a3", id(1)).take_all(),
        ["opening at ?", "Expired after 7-1, at 2", "position at 3"]
    );
}

#[test]
fn time_is_a_position() {
    let mut played = Played::new(NO_LIMITS);
    let start = played.now.get();
    let stream = played.open("a", "a1");
    for (sequence, second) in [(6, 10), (7, 20), (9, 20), (12, 70)] {
        played.now.set(start + Duration::from_secs(second));
        played.sequence = sequence - 1;
        played.append(&["a"]);
    }
    // The first was removed when the last came.
    let check = |second: u64, expected: (u64, Option<GapReason>)| {
        let before = played.log.position_before(&stream.mailbox, start + Duration::from_secs(second));
        assert_eq!(before, Some((id(expected.0), expected.1)), "{second} s");
    };
    check(5, (6, Some(GapReason::Expired)));
    check(10, (6, Some(GapReason::Expired)));
    check(11, (6, None));
    check(20, (6, None));
    check(21, (9, None));
    check(100, (12, None));
}

#[test]
fn nothing_stays_of_a_crowd() {
    let mut played = Played::new(NO_LIMITS);
    let names: Vec<_> = (0..10_000).map(|n: u32| n.to_string()).collect();
    let readers: Vec<_> = names.iter().map(|name| played.open(name, "x")).collect();
    for name in &names {
        played.append(&[name]);
    }
    for reader in &readers {
        played.close(reader);
    }
    assert_eq!((played.log.open_streams(), played.log.connected_users()), (0, 0));
    played.pass(MINUTE);
    played.pass(MINUTE / 4);
    assert_eq!((played.log.bytes, played.log.mailboxes.len()), (0, 0));
    assert!(played.log.mailboxes.capacity() <= 64);
}

#[test]
fn mailbox_of_a_burst_gives_back_what_it_took() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    for _ in 0..10_000 {
        played.append(&["a"]);
    }
    assert_eq!(stream.take_all().len(), 10_000);
    played.pass(MINUTE);
    assert!(stream.mailbox.lock().index_room() <= 64);
    played.pass(MINUTE / 4);
    assert_eq!(stream.mailbox.lock().index_room(), 0, "the index is gone");
}

#[test]
fn without_age_an_event_stays_for_streams_that_wait_to_start_or_have_ended() {
    let mut played = Played::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let (waits, ends) = (played.join("a", "a1"), played.open("b", "b1"));
    played.append(&["a", "b"]);
    played.end(&ends, EndReason::Stopping);
    played.append(&["b"]);
    played.pass(MINUTE);
    assert_eq!(sequences(&played.log), [1, 2], "the second stays behind the first");
    played.log.start(&waits.mailbox, waits.id, id(0), None);
    assert_eq!(waits.take_all(), ["opening at 0", "1 again", "position at 2"]);
    assert_eq!(ends.take(), (vec!["1 last".to_owned(), "Stopping".to_owned()], TurnOutcome::End));
    played.pass(MINUTE);
    assert_eq!(sequences(&played.log), [0; 0]);
}
