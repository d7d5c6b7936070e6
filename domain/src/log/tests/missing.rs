//! Which streams get a gap for evicted events.

use super::{
    retention::{held_sequences, room_for},
    *,
};

#[test]
fn evicted_users_are_remembered_for_a_while() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&["a"]);
    harness.advance(MINUTE);
    assert_eq!(held_sequences(&harness.log), [0; 0]);
    assert_eq!(harness.open_after("b", "b1", id(0)).take_all(), ["opening at 1"]);
    harness.advance(MINUTE / 4);
    let taken = harness.open_after("b", "b2", id(0)).take_all();
    assert_eq!(taken, ["opening at ?", "Expired after 7-0, at 1"]);
}

/// There are few enough users with a stream to remember for each whether an event was evicted.
#[test]
fn connected_users_cause_no_gap_for_others() {
    let mut harness = Harness::new(room_for(1));
    for user in ["a", "b"] {
        let stream = harness.open(user, "x");
        harness.append(&[user]);
        stream.take_all();
    }
    harness.advance(Duration::from_secs(1));
    assert_eq!(held_sequences(&harness.log), [2]);
    assert_eq!(harness.open_after("c", "x", id(0)).take_all(), ["opening at 2"]);
}

/// An unstarted stream gets a gap if events for its user were evicted, and none if other users missed events.
#[test]
fn unstarted_stream_gets_only_its_users_gap() {
    let elsewhere = EventId { incarnation: Incarnation::of(8), sequence: 0 };
    let check = |max_age: Duration, named: &[&str], expected: (EventId, Option<GapReason>)| {
        let mut harness = Harness::new(LogLimits { max_age, ..NO_LIMITS });
        let unstarted = harness.open_unstarted("a", "x");
        for user in named {
            harness.append(&[user]);
        }
        harness.advance(MINUTE);
        let start = |position| harness.log.start_position(&unstarted.mailbox, position);
        assert_eq!(start(id(0)), Some(expected), "{max_age:?} {named:?}");
        assert_eq!(start(id(1)), Some((id(1), None)));
        assert_eq!(start(elsewhere), Some((expected.0, Some(GapReason::Unknown))));
    };
    check(MINUTE, &["a"], (id(1), Some(GapReason::Expired)));
    check(MINUTE, &["b"], (id(0), None));
    check(Duration::ZERO, &["a"], (id(0), None));
    check(Duration::ZERO, &["b"], (id(1), None));
    check(Duration::ZERO, &["b", "a"], (id(1), None));
}

/// NATS has lost its last events, and later events have the same sequences.
#[test]
fn stream_past_the_restarted_log_gets_a_gap() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    for _ in 0..3 {
        harness.append(&["a"]);
    }
    assert_eq!(stream.take_all().len(), 3);
    harness.resync(id(1));
    harness.append(&["a"]);
    assert_eq!(stream.take_all(), ["Expired after 7-3, at 1", "2 last"]);
}

#[test]
fn nothing_is_held_for_an_ended_stream() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let [ends, reads] = ["a1", "a2"].map(|name| harness.open("a", name));
    harness.end(&ends, EndReason::Stopping);
    harness.append(&["a"]);
    assert_eq!(reads.take_all(), ["1 last"]);
    harness.advance(Duration::from_secs(1));
    assert_eq!(held_sequences(&harness.log), [0; 0]);
}
