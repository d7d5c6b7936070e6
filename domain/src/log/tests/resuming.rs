//! A client that can only repeat the id of its request.

use super::{bounds::holding, *};

#[test]
fn client_goes_on_where_its_own_older_streams_stand() {
    let mut played = Played::new(NO_LIMITS);
    let [older, _other, newer] = ["tab", "other", "tab"].map(|name| {
        let stream = played.open("a", name);
        played.append(&["a"]);
        stream
    });
    let request = RequestId::try_new("tab").expect("a request id");
    let point = || newer.mailbox.resume_point(newer.id, &request, None).map(|point| point.position);
    assert_eq!(point(), Some(id(0)));
    played.end(&older, EndReason::Client);
    assert_eq!(point(), None, "it has left a bookmark");
}

#[test]
fn newer_stream_of_a_client_replaces_the_older_one() {
    let mut played = Played::new(NO_LIMITS);
    let [older, _other, _newer] = ["tab", "other", "tab"].map(|name| played.open("a", name));
    let opened = played.now.get();
    assert_eq!(older.mailbox.replaced_streams(opened), [], "it is young");
    assert_eq!(older.mailbox.replaced_streams(opened + Duration::from_secs(1)), [older.id]);
    played.end(&older, EndReason::Replaced);
    assert_eq!(older.mailbox.replaced_streams(opened + Duration::from_secs(1)), []);
}

#[test]
fn logout_ends_one_stream_of_a_client_and_not_the_next() {
    let mut played = Played::new(NO_LIMITS);
    let logout = |played: &mut Played| played.append_event(&["a"], "backchannel-logout", 1);
    let first = played.open("a", "tab");
    logout(&mut played);
    logout(&mut played);
    assert_eq!(first.take(), (vec!["1 last".to_owned()], TurnOutcome::LoggedOut));
    assert_eq!(first.take(), (vec!["2 last".to_owned()], TurnOutcome::LoggedOut));
    let bookmark =
        played.end(&first, EndReason::Logout).and_then(|ended| ended.bookmark).expect("a request id");
    let next = played.join("a", "tab");
    next.mailbox.with_stream(next.id, |stream| stream.resume(bookmark.point));
    played.log.start(&next.mailbox, next.id, bookmark.point.position, None);
    assert_eq!(next.take_all(), ["opening at 0", "1 again", "2 again"]);
    // The same sequence comes again: it is another logout.
    played.resync(id(1));
    logout(&mut played);
    let expected = ["Expired after 7-2, at 1", "2 last"].map(str::to_owned).to_vec();
    assert_eq!(next.take(), (expected, TurnOutcome::LoggedOut));
}

impl Reader {
    /// What its client certainly has, when what was written since `written` may not have arrived.
    fn confirmed(&self, written: Instant) -> Option<u64> {
        self.mailbox.lock().confirmed_position(self.id, Some(written)).map(|id| id.sequence)
    }
}

/// The time of an event tells nothing when it is taken late.
#[test]
fn confirmed_position_lies_before_what_was_taken_late() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "tab");
    let start = played.now.get();
    let second = |seconds: u64| start + Duration::from_secs(seconds);
    played.append(&["a"]);
    played.append(&["a"]);
    for taken in ["1 last", "2 last"] {
        played.pass(Duration::from_secs(10));
        assert_eq!(stream.take_up_to(1).0, [taken]);
    }
    assert_eq!((stream.confirmed(second(15)), stream.confirmed(second(21))), (Some(0), Some(2)));
    // Once it has arrived, only what is taken late from then on is in doubt.
    stream.mailbox.with_stream(stream.id, |stream| stream.confirm(second(50), second(30)));
    played.append(&["a"]);
    played.pass(Duration::from_secs(30));
    assert_eq!(stream.take_all(), ["3 last"]);
    assert_eq!((stream.confirmed(second(50)), stream.confirmed(second(51))), (Some(2), Some(3)));
}

#[test]
fn event_that_is_taken_promptly_counts_as_taken_when_it_was_recorded() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "tab");
    played.append(&["a"]);
    played.pass(LATE_AFTER);
    assert_eq!(stream.take_all(), ["1 last"]);
    assert_eq!(stream.confirmed(played.now.get()), Some(1));
}

/// A client that may not have been told of a gap is told again.
#[test]
fn confirmed_position_lies_before_a_gap_that_may_not_have_arrived() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&["a"]);
    played.pass(MINUTE);
    let stream = played.open_after("a", "tab", id(0));
    assert_eq!(stream.take_all(), ["opening at ?", "Expired after 7-0, at 1"]);
    let now = played.now.get();
    assert_eq!((stream.confirmed(now), stream.confirmed(now + Duration::from_secs(1))), (Some(0), Some(1)));
}

/// Which of the events have arrived is not known where they are not held any more.
#[test]
fn confirmed_position_is_the_start_where_later_events_are_not_held() {
    let mut played = Played::new(holding(6));
    let stream = played.open("a", "a1");
    let written = played.now.get();
    for sequence in 1..=8 {
        played.append(&["a"]);
        assert_eq!(stream.take_all(), [format!("{sequence} last")]);
    }
    assert_eq!(stream.confirmed(written), Some(0));
    assert_eq!(stream.confirmed(written + Duration::from_secs(1)), Some(8));
}
