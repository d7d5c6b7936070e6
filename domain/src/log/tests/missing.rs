//! Who has missed what was removed, and who is told.

use super::{
    bounds::{holding, sequences},
    *,
};

#[test]
fn it_stays_known_for_a_while_of_whom_an_event_was_removed() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&["a"]);
    played.pass(MINUTE);
    assert_eq!(sequences(&played.log), [0; 0]);
    assert_eq!(played.open_after("b", "b1", id(0)).take_all(), ["opening at 1"]);
    played.pass(MINUTE / 4);
    let taken = played.open_after("b", "b2", id(0)).take_all();
    assert_eq!(taken, ["opening at ?", "Expired after 7-0, at 1"]);
}

/// Users with a stream are few enough to remember of each whether something was removed.
#[test]
fn nobody_is_told_of_a_gap_because_users_with_a_stream_have_missed_something() {
    let mut played = Played::new(holding(1));
    for user in ["a", "b"] {
        let stream = played.open(user, "x");
        played.append(&[user]);
        stream.take_all();
    }
    played.pass(Duration::from_secs(1));
    assert_eq!(sequences(&played.log), [2]);
    assert_eq!(played.open_after("c", "x", id(0)).take_all(), ["opening at 2"]);
}

/// Whoever waits for its start is told of a gap when events for its user were removed, and not when others missed something.
#[test]
fn stream_that_waits_for_its_start_is_told_of_its_users_gap_alone() {
    let elsewhere = EventId { incarnation: Incarnation::of(8), sequence: 0 };
    let check = |max_age: Duration, named: &[&str], expected: (EventId, Option<GapReason>)| {
        let mut played = Played::new(LogLimits { max_age, ..NO_LIMITS });
        let waiting = played.join("a", "x");
        for user in named {
            played.append(&[user]);
        }
        played.pass(MINUTE);
        let since = |position| played.log.start_position(&waiting.mailbox, position);
        assert_eq!(since(id(0)), Some(expected), "{max_age:?} {named:?}");
        assert_eq!(since(id(1)), Some((id(1), None)));
        assert_eq!(since(elsewhere), Some((expected.0, Some(GapReason::Unknown))));
    };
    check(MINUTE, &["a"], (id(1), Some(GapReason::Expired)));
    check(MINUTE, &["b"], (id(0), None));
    check(Duration::ZERO, &["a"], (id(0), None));
    check(Duration::ZERO, &["b"], (id(1), None));
    check(Duration::ZERO, &["b", "a"], (id(1), None));
}

/// As when NATS has lost its last events: the same sequences come again.
#[test]
fn stream_that_had_come_further_than_the_log_starts_is_told_of_a_gap() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    for _ in 0..3 {
        played.append(&["a"]);
    }
    assert_eq!(stream.take_all().len(), 3);
    played.resync(id(1));
    played.append(&["a"]);
    assert_eq!(stream.take_all(), ["Expired after 7-3, at 1", "2 last"]);
}

#[test]
fn nothing_is_held_for_a_stream_that_has_ended_before() {
    let mut played = Played::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let [ends, reads] = ["a1", "a2"].map(|name| played.open("a", name));
    played.end(&ends, EndReason::Stopping);
    played.append(&["a"]);
    assert_eq!(reads.take_all(), ["1 last"]);
    played.pass(Duration::from_secs(1));
    assert_eq!(sequences(&played.log), [0; 0]);
}
