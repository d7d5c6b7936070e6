//! Events for everyone.

use super::*;

impl Harness {
    fn append_for_everyone(&mut self) -> Appended {
        self.append_for(Recipients::Everyone, "t", 1)
    }
}

#[test]
fn event_reaches_open_and_returning_streams_once() {
    let mut harness = Harness::new(NO_LIMITS);
    let open = ["a", "b", "c"].map(|user| harness.open(user, "x"));
    let appended = harness.append_for_everyone();
    assert_eq!(appended.streams, 3);
    assert_eq!(open.each_ref().map(Reader::take_all), [["1"], ["1"], ["1 last"]]);
    // These users never had a stream.
    let returning = ["d", "e"].map(|user| harness.open_after(user, "x", id(0)));
    for reader in &returning {
        assert_eq!(reader.take_all(), ["opening at 0", "1 replay"]);
    }
    let new = harness.open("f", "x");
    assert_eq!(harness.append(&["f", "d"]).streams, 2);
    assert_eq!([&new, &returning[0]].map(Reader::take_all), [["2"], ["2 last"]]);
    assert_eq!(harness.log.newest_first().count(), 2, "held once");
}

#[test]
fn evicted_event_is_missed_by_all() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append_for_everyone();
    // The restarted log holds no events for everyone.
    harness.resync(id(0));
    harness.append_for_everyone();
    harness.advance(MINUTE);
    assert_eq!(harness.log.newest_first().count(), 0);
    let returning = harness.open_after("a", "x", id(0));
    assert_eq!(returning.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
    let new = harness.open_after("b", "x", id(1));
    assert_eq!(new.take_all(), ["opening at 1"]);
}

/// A mailbox that is created for an event being appended knows which events were evicted before.
#[test]
fn event_evicted_during_an_append_is_missed() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append_for_everyone();
    harness.now.set(harness.now.get() + MINUTE);
    // The first event is evicted after the first batch.
    harness.append(&["a", "b", "c", "d"]);
    for name in ["a", "b", "c", "d"] {
        let taken = harness.open_after(name, "x", id(0)).take_all();
        assert_eq!(taken, ["opening at ?", "Expired after 7-0, at 1", "2 replay"], "{name}");
    }
}

#[test]
fn absent_users_miss_event_without_history() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let open = harness.open("a", "x");
    let unstarted = harness.open_unstarted("b", "x");
    harness.append_for_everyone();
    assert_eq!(open.take_all(), ["1 last"]);
    harness.log.start(&unstarted.mailbox, unstarted.id, id(0), None);
    assert_eq!(unstarted.take_all(), ["opening at 0", "1 replay"]);
    let returning = harness.open_after("c", "x", id(0));
    assert_eq!(returning.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
    harness.advance(MINUTE);
    assert_eq!((harness.log.newest_first().count(), harness.log.bytes), (0, 0));
}

#[test]
fn event_reaches_stream_opened_during_its_append() {
    for name in ["a", "new"] {
        let mut harness = Harness::new(NO_LIMITS);
        let open = ["a", "b", "c"].map(|user| harness.open(user, "x"));
        harness.sequence = 1;
        let event = event(1, Recipients::Everyone, "t", 1);
        let mut appending = harness.log.start_append(event, harness.now.get()).expect("the log has started");
        assert_eq!(harness.append_batch(&mut appending), None, "the first batch");
        let meanwhile = harness.open_after(name, "y", id(0));
        assert!(harness.append_batch(&mut appending).is_some());
        let taken: Vec<_> = open.iter().chain([&meanwhile]).flat_map(Reader::take_all).collect();
        let taken: Vec<_> = taken.iter().filter(|words| words.starts_with('1')).collect();
        assert_eq!(taken.len(), 4, "{name}: {taken:?}");
    }
}
