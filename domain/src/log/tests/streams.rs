//! Streams at different positions.

use super::*;
use crate::keepalive::KeepalivePolicy;

const WAITING: TurnOutcome = TurnOutcome::Wait;

#[test]
fn event_reaches_all_streams_of_its_users_and_no_other() {
    let mut played = Played::new(NO_LIMITS);
    let [one, two, other] =
        [("a", "a1"), ("a", "a2"), ("b", "b1")].map(|(user, name)| played.open(user, name));
    assert_eq!(played.append(&["a"]).streams, 2);
    assert_eq!(played.woken(), ["a1", "a2"]);
    assert_eq!(played.append(&["c"]).streams, 0);
    assert_eq!(
        [one.take(), two.take(), other.take()],
        [(vec!["1".to_owned()], WAITING), (vec!["1 last".to_owned()], WAITING), (vec![], TurnOutcome::Wait),]
    );
}

#[test]
fn user_who_is_named_twice_gets_an_event_once() {
    let mut played = Played::new(NO_LIMITS);
    let (one, other) = (played.open("a", "a1"), played.open("b", "b1"));
    assert_eq!(played.append(&["a", "b", "a"]).streams, 2);
    assert_eq!((one.take_all(), other.take_all()), (vec!["1".to_owned()], vec!["1 last".to_owned()]));
}

#[test]
fn connection_is_woken_once_until_it_has_taken_everything() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    for _ in 0..3 {
        played.append(&["a"]);
    }
    assert_eq!(played.woken(), ["a1"]);
    assert_eq!(stream.take_up_to(2), (vec!["1 last".to_owned(), "2 last".to_owned()], TurnOutcome::More));
    played.append(&["a"]);
    assert!(played.woken().is_empty(), "it asks again by itself");
    assert_eq!(stream.take(), (vec!["3 last".to_owned(), "4 last".to_owned()], WAITING));
    played.append(&["a"]);
    assert_eq!(played.woken(), ["a1"]);
}

#[test]
fn turn_says_whether_its_connection_was_woken() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    let turn = || stream.mailbox.take(stream.id, stream.now.get(), usize::MAX, &mut |_, _| 1).was_woken;
    assert!(!turn());
    for _ in 0..2 {
        played.append(&["a"]);
    }
    assert_eq!([turn(), turn()], [true, false]);
}

#[test]
fn turn_ends_when_notes_gaps_and_events_have_filled_it() {
    let mut played = Played::new(NO_LIMITS);
    for _ in 0..3 {
        played.append(&["a"]);
    }
    let mut check = |gap: Option<Gap>, limit: usize| {
        let stream = played.join("a", "a1");
        played.log.start(&stream.mailbox, stream.id, id(0), gap);
        let mut events = 0;
        let turn = stream.mailbox.take(stream.id, stream.now.get(), limit, &mut |_, item| {
            let is_event = matches!(item, Item::Event(..));
            events += usize::from(is_event);
            if is_event { 1 } else { 10 }
        });
        assert_eq!((events, turn.outcome), (2, TurnOutcome::More));
    };
    check(None, 12);
    check(Some(Gap::unknown("no id".into())), 22);
}

#[test]
fn turn_is_one_event_at_least() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    played.append_event(&["a"], "t", 1000);
    played.append_event(&["a"], "t", 1000);
    assert_eq!(stream.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    assert_eq!(stream.take_up_to(1), (vec!["2 last".to_owned()], WAITING));
}

#[test]
fn client_that_returns_gets_what_it_has_missed_and_then_what_is_new() {
    let mut played = Played::new(NO_LIMITS);
    for users in [&["a"][..], &["b"], &["a", "b"], &["c"]] {
        played.append(users);
    }
    let stream = played.open_after("a", "a1", id(1));
    played.append(&["a"]);
    assert!(played.woken().is_empty(), "it has not taken anything yet");
    assert_eq!(stream.take_all(), ["opening at 1", "3 again", "5 last"]);
    // Where its last event was not the last of all, it is told that.
    let stream = played.open_after("b", "b1", id(2));
    assert_eq!(stream.take_all(), ["opening at 2", "3 again", "position at 5"]);
    let nothing = played.open_after("nobody", "n1", id(3));
    assert_eq!(nothing.take_all(), ["opening at 5"]);
}

#[test]
fn stream_that_is_not_started_takes_its_opening_alone() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.join("a", "a1");
    assert_eq!(stream.take_all(), ["opening at ?"]);
    assert_eq!(played.append(&["a"]).streams, 0);
    assert!(played.woken().is_empty());
    assert!(played.log.start(&stream.mailbox, stream.id, id(0), None), "its connection has to be woken");
    assert_eq!(stream.take_all(), ["position at 0", "1 again"]);
}

#[test]
fn gap_that_a_client_is_told_comes_before_all_else() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&["a"]);
    let stream = played.join("a", "a1");
    played.log.start(&stream.mailbox, stream.id, id(0), Some(Gap::unknown("no id".into())));
    assert_eq!(stream.take_all(), ["opening at ?", "Unknown after no id, at 0", "1 again"]);
    // Of another making of the NATS stream: nothing is known of what came before.
    let elsewhere = EventId { incarnation: Incarnation::of(8), sequence: 1 };
    let stream = played.open_after("a", "a2", elsewhere);
    assert_eq!(stream.take_all(), ["opening at ?", "Unknown after 8-1, at 1"]);
}

#[test]
fn event_that_another_instance_has_delivered_is_not_delivered_again() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open_after("a", "a1", id(2));
    assert_eq!(stream.take_all(), ["opening at 2"]);
    for _ in 0..3 {
        played.append(&["a"]);
    }
    assert_eq!(stream.take_all(), ["3 last"]);
}

#[test]
fn notes_are_told_once_and_before_what_waits() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    let add = |note| stream.mailbox.with_stream(stream.id, |stream| stream.add_note(note)).expect("open");
    assert!(add(Note::Keepalive));
    assert!(!add(Note::Keepalive), "it was woken already");
    assert!(!add(Note::Language));
    played.append(&["a"]);
    assert_eq!(stream.take_all(), ["language at 0", "keepalive at 0", "1 last"]);
    assert!(stream.take_all().is_empty());
}

#[test]
fn newer_position_is_told_where_nothing_waits() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    for _ in 0..3 {
        played.append(&["b"]);
    }
    let refresh =
        |to| stream.mailbox.with_stream(stream.id, |stream| stream.refresh_position(to)).expect("open");
    assert!(refresh(id(3)));
    assert_eq!(stream.take_all(), ["position at 3"]);
    assert!(!refresh(id(3)) && !refresh(id(2)));
    played.append(&["a"]);
    assert!(!refresh(id(4)), "the event itself tells it");
    assert_eq!(stream.take_all(), ["4 last"]);
}

#[test]
fn stream_that_ends_takes_what_was_published_before() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    played.append(&["a"]);
    assert!(played.end(&stream, EndReason::Expired).is_some());
    assert_eq!(played.end(&stream, EndReason::Logout), None, "it has ended");
    assert_eq!(played.append(&["a"]).streams, 0);
    assert_eq!(stream.take(), (vec!["1 last".to_owned(), "Expired".to_owned()], TurnOutcome::End));
    assert_eq!(stream.take(), (vec![], TurnOutcome::End));
    assert_eq!((played.log.open_streams(), played.log.connected_users()), (0, 0));
    assert!(played.close(&stream).is_empty());
    assert_eq!(stream.take(), (vec![], TurnOutcome::End));
}

#[test]
fn end_of_a_waiting_stream_is_told() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    assert!(played.end(&stream, EndReason::Stopping).expect("open").needs_wake);
    assert_eq!(stream.take(), (vec!["Stopping".to_owned()], TurnOutcome::End));
}

#[test]
fn end_leaves_what_was_missed_to_the_next_stream() {
    let mut played = Played::new(NO_LIMITS);
    for _ in 0..3 {
        played.append(&["a"]);
    }
    let stream = played.open_after("a", "a1", id(0));
    assert_eq!(
        stream.take_up_to(1),
        (vec!["opening at 0".to_owned(), "1 again".to_owned()], TurnOutcome::More)
    );
    played.end(&stream, EndReason::Stopping);
    assert_eq!(stream.take(), (vec!["Stopping".to_owned()], TurnOutcome::End));
}

#[test]
fn logout_stops_a_stream() {
    let mut played = Played::new(NO_LIMITS);
    played.append(&["a"]);
    played.append_event(&["a"], "backchannel-logout", 1);
    played.append(&["a"]);
    let stream = played.open_after("a", "a1", id(0));
    let taken = ["opening at 0", "1 again", "2 again"].map(str::to_owned).to_vec();
    assert_eq!(stream.take(), (taken, TurnOutcome::LoggedOut));
    played.end(&stream, EndReason::Logout);
    assert_eq!(stream.take(), (vec!["Logout".to_owned()], TurnOutcome::End));
    // Also one that was open already; nothing that follows is taken, unless the stream is not to end.
    let [ends, stays] = ["a2", "a3"].map(|name| played.open("a", name));
    played.append_event(&["a"], "backchannel-logout", 1);
    played.append(&["a"]);
    assert_eq!(ends.take(), (vec!["4".to_owned()], TurnOutcome::LoggedOut));
    assert_eq!(stays.take(), (vec!["4 last".to_owned()], TurnOutcome::LoggedOut));
    played.end(&ends, EndReason::Logout);
    assert_eq!(ends.take(), (vec!["Logout".to_owned()], TurnOutcome::End));
    played.close(&ends);
    assert_eq!(stays.take_all(), ["5 last"]);
}

#[test]
fn delivery_is_complete_when_the_last_stream_has_taken_the_event_or_gone() {
    let mut played = Played::new(NO_LIMITS);
    let [one, two] = ["a1", "a2"].map(|name| played.open("a", name));
    played.append(&["a"]);
    played.append(&["a"]);
    assert_eq!(one.take_all(), ["1", "2"]);
    assert_eq!(two.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    assert_eq!(played.close(&two), [2]);
    // What one has missed was delivered before.
    let again = played.open_after("a", "a3", id(0));
    assert!(played.close(&again).is_empty());
}

#[test]
fn limits_hold_and_give_way_when_a_stream_has_ended() {
    let mut played = Played::new(NO_LIMITS);
    played.log.stream_limits = StreamLimits { total: 3, per_user: 2 };
    let first = played.open("a", "a1");
    assert_eq!(played.log.check_limits(&user("a")), Ok(()));
    played.open("a", "a2");
    assert_eq!(played.log.check_limits(&user("a")), Err(LimitReached::PerUser));
    assert_eq!(played.log.check_limits(&user("b")), Ok(()));
    played.open("b", "b1");
    assert_eq!(played.log.check_limits(&user("c")), Err(LimitReached::Total));
    assert_eq!((played.log.open_streams(), played.log.connected_users()), (3, 2));
    played.end(&first, EndReason::Administrator);
    assert_eq!(played.log.check_limits(&user("a")), Ok(()));
    let next = played.log.next_stream_number();
    assert_eq!((next, played.open("a", "a3").id.number()), (3, 3));
}

#[test]
fn written_stream_needs_no_keepalive() {
    let mut played = Played::new(NO_LIMITS);
    let policy = KeepalivePolicy::every(Duration::from_secs(10));
    let [silent, busy] = [("silent", "s"), ("busy", "b")].map(|(user, name)| played.open(user, name));
    played.pass(Duration::from_secs(6));
    played.append(&["busy"]);
    let is_due = |reader: &Reader, now| {
        let due = reader.mailbox.with_stream(reader.id, |stream| stream.session.due(policy, present(now)));
        due.expect("open").is_some()
    };
    let now = played.now.get() + Duration::from_secs(4);
    assert_eq!((is_due(&silent, now), is_due(&busy, now)), (true, false));
    assert!(is_due(&busy, now + Duration::from_secs(6)));
}

#[test]
fn confirmed_position_lies_before_what_may_not_have_arrived() {
    let mut played = Played::new(NO_LIMITS);
    let stream = played.open("a", "a1");
    let start = played.now.get();
    for _ in 0..3 {
        played.pass(Duration::from_secs(10));
        played.append(&["a"]);
    }
    let confirmed = |seconds: u64| {
        let written = start + Duration::from_secs(seconds);
        stream.mailbox.lock().confirmed_position(stream.id, Some(written)).map(|id| id.sequence)
    };
    // Nothing was taken yet.
    assert_eq!(confirmed(100), Some(0));
    assert_eq!(stream.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    // What it takes now, it takes late.
    assert_eq!(confirmed(30), Some(0));
    assert_eq!(confirmed(31), Some(1));
    assert_eq!(stream.take_all(), ["2 last", "3 last"]);
    assert_eq!(confirmed(100), Some(3));
    // It took all of them at 30 s.
    assert_eq!(confirmed(31), Some(3));
    assert_eq!(confirmed(30), Some(0));
    for taken in ["4 last", "5 last"] {
        played.pass(Duration::from_secs(10));
        played.append(&["a"]);
        assert_eq!(stream.take_all(), [taken]);
    }
    assert_eq!(confirmed(50), Some(4));
    assert_eq!(confirmed(40), Some(3));
    assert_eq!(confirmed(30), Some(0));
    assert_eq!(stream.mailbox.lock().confirmed_position(stream.id, None), Some(id(0)));
    let bookmark = played.end(&stream, EndReason::Client).expect("open").bookmark.expect("a request id");
    assert_eq!((bookmark.user, bookmark.request.as_str(), bookmark.point.position), (user("a"), "a1", id(4)));
}
