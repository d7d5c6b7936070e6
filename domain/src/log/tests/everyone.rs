//! Events for everyone.

use super::*;

impl Played {
    fn append_for_everyone(&mut self) -> Appended {
        self.append_for(Recipients::Everyone, "t", 1)
    }
}

#[test]
fn reach_each_open_stream_and_each_client_that_returns_once() {
    let mut played = Played::new(NO_LIMITS);
    let open = ["a", "b", "c"].map(|user| played.open(user, "x"));
    let appended = played.append_for_everyone();
    assert_eq!(appended.streams, 3);
    assert_eq!(open.each_ref().map(Reader::take_all), [["1"], ["1"], ["1 last"]]);
    // Neither has ever had a stream.
    let back = ["d", "e"].map(|user| played.open_after(user, "x", id(0)));
    for reader in &back {
        assert_eq!(reader.take_all(), ["opening at 0", "1 again"]);
    }
    let new = played.open("f", "x");
    assert_eq!(played.append(&["f", "d"]).streams, 2);
    assert_eq!([&new, &back[0]].map(Reader::take_all), [["2"], ["2 last"]]);
    assert_eq!(played.log.newest_first().count(), 2, "held once");
}

#[test]
fn are_missing_for_everyone_when_they_are_removed() {
    let mut played = Played::new(NO_LIMITS);
    played.append_for_everyone();
    // What was for everyone before is not there any more.
    played.resync(id(0));
    played.append_for_everyone();
    played.pass(MINUTE);
    assert_eq!(played.log.newest_first().count(), 0);
    let back = played.open_after("a", "x", id(0));
    assert_eq!(back.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
    let new = played.open_after("b", "x", id(1));
    assert_eq!(new.take_all(), ["opening at 1"]);
}

/// Those who get a mailbox by an event that is still being appended know what was removed before.
#[test]
fn are_missing_when_they_are_removed_while_another_event_is_appended() {
    let mut played = Played::new(NO_LIMITS);
    played.append_for_everyone();
    played.now.set(played.now.get() + MINUTE);
    // The first two have it when the other is removed.
    played.append(&["a", "b", "c", "d"]);
    for name in ["a", "b", "c", "d"] {
        let taken = played.open_after(name, "x", id(0)).take_all();
        assert_eq!(taken, ["opening at ?", "Expired after 7-0, at 1", "2 again"], "{name}");
    }
}

#[test]
fn are_missing_for_those_who_were_not_there_without_a_history() {
    let mut played = Played::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let open = played.open("a", "x");
    let waiting = played.join("b", "x");
    played.append_for_everyone();
    assert_eq!(open.take_all(), ["1 last"]);
    played.log.start(&waiting.mailbox, waiting.id, id(0), None);
    assert_eq!(waiting.take_all(), ["opening at 0", "1 again"]);
    let back = played.open_after("c", "x", id(0));
    assert_eq!(back.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
    played.pass(MINUTE);
    assert_eq!((played.log.newest_first().count(), played.log.bytes), (0, 0));
}

#[test]
fn reach_a_stream_that_is_opened_while_they_are_appended() {
    for name in ["a", "new"] {
        let mut played = Played::new(NO_LIMITS);
        let open = ["a", "b", "c"].map(|user| played.open(user, "x"));
        played.sequence = 1;
        let event = event(1, Recipients::Everyone, "t", 1);
        let mut appending = played.log.start_append(event, played.now.get()).expect("the log has started");
        assert_eq!(played.append_batch(&mut appending), None, "two have it");
        let meanwhile = played.open_after(name, "y", id(0));
        assert!(played.append_batch(&mut appending).is_some());
        let taken: Vec<_> = open.iter().chain([&meanwhile]).flat_map(Reader::take_all).collect();
        let taken: Vec<_> = taken.iter().filter(|words| words.starts_with('1')).collect();
        assert_eq!(taken.len(), 4, "{name}: {taken:?}");
    }
}
