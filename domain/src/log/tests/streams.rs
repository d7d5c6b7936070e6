//! Streams at different positions of the log.

use super::*;
use crate::keepalive::KeepalivePolicy;

const WAITING: TurnOutcome = TurnOutcome::Wait;

#[test]
fn event_reaches_the_streams_of_its_users_only() {
    let mut harness = Harness::new(NO_LIMITS);
    let [one, two, other] =
        [("a", "a1"), ("a", "a2"), ("b", "b1")].map(|(user, name)| harness.open(user, name));
    assert_eq!(harness.append(&["a"]).streams, 2);
    assert_eq!(harness.woken(), ["a1", "a2"]);
    assert_eq!(harness.append(&["c"]).streams, 0);
    assert_eq!(
        [one.take(), two.take(), other.take()],
        [(vec!["1".to_owned()], WAITING), (vec!["1 last".to_owned()], WAITING), (vec![], TurnOutcome::Wait),]
    );
}

/// The client has got events from another instance that this log does not have yet.
#[test]
fn stream_ahead_of_the_log_is_no_reader() {
    let mut harness = Harness::new(NO_LIMITS);
    let (here, ahead) = (harness.open("a", "a1"), harness.open_after("a", "a2", id(2)));
    assert_eq!(ahead.take_all(), ["opening at 2"]);
    for expected in [["1 last"], ["2 last"]] {
        assert_eq!(harness.append(&["a"]).streams, 1);
        assert_eq!(harness.woken(), ["a1"]);
        assert_eq!(here.take_all(), expected);
    }
    assert_eq!(harness.append(&["a"]).streams, 2);
    assert_eq!((here.take_all(), ahead.take_all()), (vec!["3".to_owned()], vec!["3 last".to_owned()]));
}

#[test]
fn user_named_twice_gets_an_event_once() {
    let mut harness = Harness::new(NO_LIMITS);
    let (one, other) = (harness.open("a", "a1"), harness.open("b", "b1"));
    assert_eq!(harness.append(&["a", "b", "a"]).streams, 2);
    assert_eq!((one.take_all(), other.take_all()), (vec!["1".to_owned()], vec!["1 last".to_owned()]));
}

#[test]
fn connection_is_woken_once_per_wait() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    for _ in 0..3 {
        harness.append(&["a"]);
    }
    assert_eq!(harness.woken(), ["a1"]);
    assert_eq!(stream.take_up_to(2), (vec!["1 last".to_owned(), "2 last".to_owned()], TurnOutcome::More));
    harness.append(&["a"]);
    assert!(harness.woken().is_empty(), "the connection takes again after TurnOutcome::More");
    assert_eq!(stream.take(), (vec!["3 last".to_owned(), "4 last".to_owned()], WAITING));
    harness.append(&["a"]);
    assert_eq!(harness.woken(), ["a1"]);
}

#[test]
fn turn_reports_whether_it_was_woken() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    let turn = || stream.mailbox.take(stream.id, stream.now.get(), usize::MAX, &mut |_, _| 1).was_woken;
    assert!(!turn());
    for _ in 0..2 {
        harness.append(&["a"]);
    }
    assert_eq!([turn(), turn()], [true, false]);
}

#[test]
fn turn_limit_counts_notes_gaps_and_events() {
    let mut harness = Harness::new(NO_LIMITS);
    for _ in 0..3 {
        harness.append(&["a"]);
    }
    let mut check = |gap: Option<Gap>, limit: usize| {
        let stream = harness.open_unstarted("a", "a1");
        harness.log.start(&stream.mailbox, stream.id, id(0), gap);
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
fn turn_has_at_least_one_event() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    harness.append_event(&["a"], "t", 1000);
    harness.append_event(&["a"], "t", 1000);
    assert_eq!(stream.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    assert_eq!(stream.take_up_to(1), (vec!["2 last".to_owned()], WAITING));
}

#[test]
fn returning_client_gets_missed_then_new_events() {
    let mut harness = Harness::new(NO_LIMITS);
    for users in [&["a"][..], &["b"], &["a", "b"], &["c"]] {
        harness.append(users);
    }
    let stream = harness.open_after("a", "a1", id(1));
    harness.append(&["a"]);
    assert!(harness.woken().is_empty(), "the stream has not taken anything yet");
    assert_eq!(stream.take_all(), ["opening at 1", "3 replay", "5 last"]);
    // A client whose last event is not the last one of the log also gets the id of that.
    let stream = harness.open_after("b", "b1", id(2));
    assert_eq!(stream.take_all(), ["opening at 2", "3 replay", "position at 5"]);
    let nothing = harness.open_after("nobody", "n1", id(3));
    assert_eq!(nothing.take_all(), ["opening at 5"]);
}

#[test]
fn unstarted_stream_takes_only_its_opening() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open_unstarted("a", "a1");
    assert_eq!(stream.take_all(), ["opening at ?"]);
    assert_eq!(harness.append(&["a"]).streams, 0);
    assert!(harness.woken().is_empty());
    assert!(harness.log.start(&stream.mailbox, stream.id, id(0), None), "the connection has to be woken");
    assert_eq!(stream.take_all(), ["position at 0", "1 replay"]);
}

#[test]
fn gap_precedes_everything_else() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&["a"]);
    let stream = harness.open_unstarted("a", "a1");
    harness.log.start(&stream.mailbox, stream.id, id(0), Some(Gap::unknown("no id".into())));
    assert_eq!(stream.take_all(), ["opening at ?", "Unknown after no id, at 0", "1 replay"]);
    // An id of another incarnation: the events before are unknown.
    let elsewhere = EventId { incarnation: Incarnation::of(8), sequence: 1 };
    let stream = harness.open_after("a", "a2", elsewhere);
    assert_eq!(stream.take_all(), ["opening at ?", "Unknown after 8-1, at 1"]);
}

#[test]
fn event_of_another_instance_is_not_repeated() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open_after("a", "a1", id(2));
    assert_eq!(stream.take_all(), ["opening at 2"]);
    for _ in 0..3 {
        harness.append(&["a"]);
    }
    assert_eq!(stream.take_all(), ["3 last"]);
}

#[test]
fn notes_are_written_once_and_before_events() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    let add = |note| stream.mailbox.with_stream(stream.id, |stream| stream.add_note(note)).expect("open");
    assert!(add(Note::Keepalive));
    assert!(!add(Note::Keepalive), "the connection was woken already");
    assert!(!add(Note::Language));
    harness.append(&["a"]);
    assert_eq!(stream.take_all(), ["language at 0", "keepalive at 0", "1 last"]);
    assert!(stream.take_all().is_empty());
}

#[test]
fn position_is_refreshed_when_idle() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    for _ in 0..3 {
        harness.append(&["b"]);
    }
    let refresh =
        |to| stream.mailbox.with_stream(stream.id, |stream| stream.refresh_position(to)).expect("open");
    assert!(refresh(id(3)));
    assert_eq!(stream.take_all(), ["position at 3"]);
    assert!(!refresh(id(3)) && !refresh(id(2)));
    harness.append(&["a"]);
    assert!(!refresh(id(4)), "the event has a later id");
    assert_eq!(stream.take_all(), ["4 last"]);
}

#[test]
fn stream_ends_by_the_logout_of_its_session() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    let ends_by = |session| {
        let mut logout = event(1, users(&["a"]), "backchannel-logout", 1).notification;
        logout.session_id = SessionId::of(session).map(Box::new);
        let logout = logout.logout().expect("a logout");
        stream.mailbox.with_stream(stream.id, |stream| stream.ends_by(id(1), logout)).expect("open")
    };
    assert_eq!([SESSION, "another", ""].map(ends_by), [true, false, true]);
}

#[test]
fn ended_stream_takes_earlier_events() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    harness.append(&["a"]);
    assert!(harness.end(&stream, EndReason::Expired).is_some());
    assert_eq!(harness.end(&stream, EndReason::Logout), None, "the stream has ended");
    assert_eq!(harness.append(&["a"]).streams, 0);
    assert_eq!(stream.take(), (vec!["1 last".to_owned(), "Expired".to_owned()], TurnOutcome::End));
    assert_eq!(stream.take(), (vec![], TurnOutcome::End));
    assert_eq!((harness.log.open_streams(), harness.log.connected_users()), (0, 0));
    assert!(harness.close(&stream).is_empty());
    assert_eq!(stream.take(), (vec![], TurnOutcome::End));
}

#[test]
fn waiting_stream_takes_its_closing_comment() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    assert!(harness.end(&stream, EndReason::Stopping).expect("open").needs_wake);
    assert_eq!(stream.take(), (vec!["Stopping".to_owned()], TurnOutcome::End));
}

#[test]
fn replay_is_left_to_the_next_stream() {
    let mut harness = Harness::new(NO_LIMITS);
    for _ in 0..3 {
        harness.append(&["a"]);
    }
    let stream = harness.open_after("a", "a1", id(0));
    assert_eq!(
        stream.take_up_to(1),
        (vec!["opening at 0".to_owned(), "1 replay".to_owned()], TurnOutcome::More)
    );
    harness.end(&stream, EndReason::Stopping);
    assert_eq!(stream.take(), (vec!["Stopping".to_owned()], TurnOutcome::End));
}

#[test]
fn logout_interrupts_a_turn() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&["a"]);
    harness.append_event(&["a"], "backchannel-logout", 1);
    harness.append(&["a"]);
    let stream = harness.open_after("a", "a1", id(0));
    let taken = ["opening at 0", "1 replay", "2 replay"].map(str::to_owned).to_vec();
    assert_eq!(stream.take(), (taken, TurnOutcome::LoggedOut));
    harness.end(&stream, EndReason::Logout);
    assert_eq!(stream.take(), (vec!["Logout".to_owned()], TurnOutcome::End));
    // A live stream stops at the logout, too. It takes the following events unless the caller ends it.
    let [ends, stays] = ["a2", "a3"].map(|name| harness.open("a", name));
    harness.append_event(&["a"], "backchannel-logout", 1);
    harness.append(&["a"]);
    assert_eq!(ends.take(), (vec!["4".to_owned()], TurnOutcome::LoggedOut));
    assert_eq!(stays.take(), (vec!["4 last".to_owned()], TurnOutcome::LoggedOut));
    harness.end(&ends, EndReason::Logout);
    assert_eq!(ends.take(), (vec!["Logout".to_owned()], TurnOutcome::End));
    harness.close(&ends);
    assert_eq!(stays.take_all(), ["5 last"]);
}

#[test]
fn delivery_completes_with_the_last_reader() {
    let mut harness = Harness::new(NO_LIMITS);
    let [one, two] = ["a1", "a2"].map(|name| harness.open("a", name));
    harness.append(&["a"]);
    harness.append(&["a"]);
    assert_eq!(one.take_all(), ["1", "2"]);
    assert_eq!(two.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    assert_eq!(harness.close(&two), [2]);
    // A replay does not count as a delivery.
    let replaying = harness.open_after("a", "a3", id(0));
    assert!(harness.close(&replaying).is_empty());
}

#[test]
fn limits_count_open_streams() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.log.stream_limits = StreamLimits { total: 3, per_user: 2 };
    let first = harness.open("a", "a1");
    assert_eq!(harness.log.check_limits(&user("a")), Ok(()));
    harness.open("a", "a2");
    assert_eq!(harness.log.check_limits(&user("a")), Err(LimitReached::PerUser));
    assert_eq!(harness.log.check_limits(&user("b")), Ok(()));
    harness.open("b", "b1");
    assert_eq!(harness.log.check_limits(&user("c")), Err(LimitReached::Total));
    assert_eq!((harness.log.open_streams(), harness.log.connected_users()), (3, 2));
    harness.end(&first, EndReason::Administrator);
    assert_eq!(harness.log.check_limits(&user("a")), Ok(()));
    let next = harness.log.next_stream_number();
    assert_eq!((next, harness.open("a", "a3").id.number()), (3, 3));
}

#[test]
fn stream_with_events_needs_no_keepalive() {
    let mut harness = Harness::new(NO_LIMITS);
    let policy = KeepalivePolicy::every(Duration::from_secs(10));
    let [silent, busy] = [("silent", "s"), ("busy", "b")].map(|(user, name)| harness.open(user, name));
    harness.advance(Duration::from_secs(6));
    harness.append(&["busy"]);
    let is_due = |reader: &Reader, now| {
        let due = reader.mailbox.with_stream(reader.id, |stream| stream.session.due(policy, present(now)));
        due.expect("open").is_some()
    };
    let now = harness.now.get() + Duration::from_secs(4);
    assert_eq!((is_due(&silent, now), is_due(&busy, now)), (true, false));
    assert!(is_due(&busy, now + Duration::from_secs(6)));
}

#[test]
fn confirmed_position_precedes_unconfirmed_events() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    let start = harness.now.get();
    for _ in 0..3 {
        harness.advance(Duration::from_secs(10));
        harness.append(&["a"]);
    }
    let confirmed = |seconds: u64| {
        let until = start + Duration::from_secs(seconds);
        stream.mailbox.lock().confirmed_position(stream.id, Some(until)).map(|id| id.sequence)
    };
    // The stream has taken nothing yet.
    assert_eq!(confirmed(100), Some(0));
    assert_eq!(stream.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    // The stream takes the events late from here on.
    assert_eq!(confirmed(30), Some(0));
    assert_eq!(confirmed(31), Some(1));
    assert_eq!(stream.take_all(), ["2 last", "3 last"]);
    assert_eq!(confirmed(100), Some(3));
    // The stream took all of them at 30 s.
    assert_eq!(confirmed(31), Some(3));
    assert_eq!(confirmed(30), Some(0));
    for taken in ["4 last", "5 last"] {
        harness.advance(Duration::from_secs(10));
        harness.append(&["a"]);
        assert_eq!(stream.take_all(), [taken]);
    }
    assert_eq!(confirmed(50), Some(4));
    assert_eq!(confirmed(40), Some(3));
    assert_eq!(confirmed(30), Some(0));
    assert_eq!(stream.mailbox.lock().confirmed_position(stream.id, None), Some(id(0)));
    let bookmark = harness.end(&stream, EndReason::Client).expect("open").bookmark.expect("a request id");
    assert_eq!((bookmark.user, bookmark.request.as_str(), bookmark.point.position), (user("a"), "a1", id(4)));
}
