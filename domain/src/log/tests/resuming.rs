//! Clients that are recognized by the id of their request.

use super::{retention::room_for, *};

#[test]
fn client_continues_after_its_older_streams() {
    let mut harness = Harness::new(NO_LIMITS);
    let [older, _other, newer] = ["tab", "other", "tab"].map(|name| {
        let stream = harness.open("a", name);
        harness.append(&["a"]);
        stream
    });
    let request = RequestId::try_new("tab").expect("a request id");
    let point = || newer.mailbox.resume_point(newer.id, &request, None).map(|point| point.position);
    assert_eq!(point(), Some(id(0)));
    harness.end(&older, EndReason::Client);
    assert_eq!(point(), None, "an ended stream has left a bookmark");
}

#[test]
fn newer_stream_replaces_the_older_one() {
    let mut harness = Harness::new(NO_LIMITS);
    let [older, _other, _newer] = ["tab", "other", "tab"].map(|name| harness.open("a", name));
    let opened = harness.now.get();
    assert_eq!(older.mailbox.replaced_streams(opened), [], "the older stream is too young");
    assert_eq!(older.mailbox.replaced_streams(opened + Duration::from_secs(1)), [older.id]);
    harness.end(&older, EndReason::Replaced);
    assert_eq!(older.mailbox.replaced_streams(opened + Duration::from_secs(1)), []);
}

#[test]
fn logout_ends_only_one_stream_of_a_client() {
    let mut harness = Harness::new(NO_LIMITS);
    let logout = |harness: &mut Harness| harness.append_event(&["a"], "backchannel-logout", 1);
    let first = harness.open("a", "tab");
    logout(&mut harness);
    logout(&mut harness);
    assert_eq!(first.take(), (vec!["1 last".to_owned()], TurnOutcome::LoggedOut));
    assert_eq!(first.take(), (vec!["2 last".to_owned()], TurnOutcome::LoggedOut));
    let bookmark =
        harness.end(&first, EndReason::Logout).and_then(|ended| ended.bookmark).expect("a request id");
    let next = harness.open_unstarted("a", "tab");
    next.mailbox.with_stream(next.id, |stream| stream.resume(bookmark.point));
    harness.log.start(&next.mailbox, next.id, bookmark.point.position, None);
    assert_eq!(next.take_all(), ["opening at 0", "1 replay", "2 replay"]);
    // A later event with the same sequence is another logout.
    harness.resync(id(1));
    logout(&mut harness);
    let expected = ["Expired after 7-2, at 1", "2 last"].map(str::to_owned).to_vec();
    assert_eq!(next.take(), (expected, TurnOutcome::LoggedOut));
}

impl Reader {
    /// Returns the sequence up to which the client certainly has everything.
    fn confirmed(&self, until: Instant) -> Option<u64> {
        self.mailbox.lock().confirmed_position(self.id, Some(until)).map(|id| id.sequence)
    }
}

/// The time at which an event was recorded says nothing about its arrival if it is taken late.
#[test]
fn confirmed_position_precedes_late_events() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "tab");
    let start = harness.now.get();
    let second = |seconds: u64| start + Duration::from_secs(seconds);
    harness.append(&["a"]);
    harness.append(&["a"]);
    for taken in ["1 last", "2 last"] {
        harness.advance(Duration::from_secs(10));
        assert_eq!(stream.take_up_to(1).0, [taken]);
    }
    assert_eq!((stream.confirmed(second(15)), stream.confirmed(second(21))), (Some(0), Some(2)));
    // Once these have arrived, only events taken late from then on are unconfirmed.
    stream.mailbox.with_stream(stream.id, |stream| stream.confirm(second(50), second(30)));
    harness.append(&["a"]);
    harness.advance(Duration::from_secs(30));
    assert_eq!(stream.take_all(), ["3 last"]);
    assert_eq!((stream.confirmed(second(50)), stream.confirmed(second(51))), (Some(2), Some(3)));
}

#[test]
fn prompt_event_is_confirmed_by_its_recording() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "tab");
    harness.append(&["a"]);
    harness.advance(LATE_AFTER);
    assert_eq!(stream.take_all(), ["1 last"]);
    assert_eq!(stream.confirmed(harness.now.get()), Some(1));
}

/// A client that may not have received a gap gets it again.
#[test]
fn confirmed_position_precedes_an_unconfirmed_gap() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&["a"]);
    harness.advance(MINUTE);
    let stream = harness.open_after("a", "tab", id(0));
    assert_eq!(stream.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
    let now = harness.now.get();
    assert_eq!((stream.confirmed(now), stream.confirmed(now + Duration::from_secs(1))), (Some(0), Some(1)));
}

/// The log cannot say which events have arrived if it no longer holds them.
#[test]
fn confirmed_position_is_the_start_after_eviction() {
    let mut harness = Harness::new(room_for(6));
    let stream = harness.open("a", "a1");
    let written = harness.now.get();
    for sequence in 1..=8 {
        harness.append(&["a"]);
        assert_eq!(stream.take_all(), [format!("{sequence} last")]);
    }
    assert_eq!(stream.confirmed(written), Some(0));
    assert_eq!(stream.confirmed(written + Duration::from_secs(1)), Some(8));
}
