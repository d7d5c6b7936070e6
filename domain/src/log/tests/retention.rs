//! How long the log holds events, and which gaps its streams get.

use super::*;
use crate::log::append::MAILBOXES_PER_BATCH;

fn entry_bytes() -> usize {
    Entry::new(event(1, users(&["a"]), "t", 1), 0, 0, Instant::now()).0.bytes
}

/// Returns limits that leave room for this number of entries.
pub(super) fn room_for(entries: usize) -> LogLimits {
    LogLimits { max_bytes: entries * entry_bytes(), ..NO_LIMITS }
}

/// Returns the sequences of the events in the log, the oldest first.
pub(super) fn held_sequences(log: &Log) -> Vec<u64> {
    let mut held: Vec<_> = log.newest_first().map(|(entry, _)| entry.notification.id.sequence).collect();
    held.reverse();
    held
}

#[test]
fn old_events_are_evicted_with_a_gap() {
    let mut harness = Harness::new(NO_LIMITS);
    harness.append(&["a"]);
    harness.advance(MINUTE / 2);
    harness.append(&["a", "b"]);
    harness.advance(Duration::from_millis(29_999));
    assert_eq!(held_sequences(&harness.log), [1, 2]);
    harness.advance(Duration::from_millis(1));
    assert_eq!(held_sequences(&harness.log), [2]);
    let mut taken = |user: &str, after| harness.open_after(user, "tab", id(after)).take_all();
    assert_eq!(taken("a", 0), ["opening at ?", "Expired after 7-0, at 1", "2 replay"]);
    assert_eq!(taken("a", 1), ["opening at 1", "2 replay"]);
    // No event of b or c was evicted.
    assert_eq!(taken("b", 0), ["opening at 0", "2 replay"]);
    assert_eq!(taken("c", 0), ["opening at 2"]);
    // After a while the log no longer knows whose events were evicted, so everyone gets the gap.
    harness.advance(MINUTE);
    let mut taken = |user: &str, after| harness.open_after(user, "tab", id(after)).take_all();
    assert_eq!(taken("c", 1), ["opening at ?", "Expired after 7-1, at 2"]);
    assert_eq!(taken("c", 2), ["opening at 2"]);
}

/// Other users of the log get a turn between two batches.
#[test]
fn event_of_many_users_is_evicted_in_batches() {
    let mut harness = Harness::new(NO_LIMITS);
    let users: Vec<_> = (0..10 * MAILBOXES_PER_BATCH).map(|n| n.to_string()).collect();
    harness.append(&users.iter().map(String::as_str).collect::<Vec<_>>());
    let now = harness.now.get() + MINUTE;
    let mut batches = 0;
    while harness.log.evict(now, &mut |_| ()) {
        batches += 1;
    }
    assert_eq!(batches, 2, "before the last one");
}

#[test]
fn log_stays_within_its_bytes() {
    let both = 2 * (entry_bytes() + MAILBOX_BYTES);
    let check = |max_bytes: usize, expected: &[u64]| {
        let mut harness = Harness::new(LogLimits { max_bytes, ..NO_LIMITS });
        harness.append(&["a"]);
        harness.append(&["b"]);
        assert_eq!(held_sequences(&harness.log), expected, "{max_bytes} bytes");
    };
    check(both, &[1, 2]);
    check(both - 1, &[2]);
}

/// The log knows who has missed an event, however short the time is for which its bytes suffice.
#[test]
fn eviction_of_others_causes_no_gap() {
    let mut harness = Harness::new(room_for(6));
    harness.append(&["a"]);
    for n in 0..20 {
        harness.append(&[if n % 2 == 0 { "busy" } else { "others" }]);
    }
    assert!(held_sequences(&harness.log)[0] > 1);
    let mut taken = |user: &str, after| harness.open_after(user, "tab", id(after)).take_all();
    assert_eq!(taken("a", 0), ["opening at ?", "Limit after 7-0, at 1", "position at 21"]);
    assert_eq!(taken("a", 1), ["opening at 21"]);
    assert_eq!(taken("b", 0), ["opening at 21"]);
}

/// After a large event the log is too large until earlier ones are evicted, but not because of its users: a sweep in the meantime forgets
/// none of them.
#[test]
fn sweep_after_a_large_event_causes_no_gap() {
    let mut harness = Harness::new(room_for(40));
    harness.append(&["a"]);
    for n in 0..80 {
        harness.append(&[if n % 2 == 0 { "busy" } else { "others" }]);
    }
    harness.append_event(&["large"], "t", 3000);
    assert!(harness.log.bytes > room_for(40).max_bytes, "the next calls evict");
    harness.sweep();
    assert_eq!(harness.open_after("b", "tab", id(0)).take_all(), ["opening at 82"]);
}

/// The mailboxes take half of the log, and no more.
#[test]
fn sweep_forgets_nobody_while_mailboxes_take_half_of_the_log() {
    let mut harness = Harness::new(LogLimits { max_bytes: 2 * 2 * MAILBOX_BYTES, ..NO_LIMITS });
    harness.append(&["a"]);
    harness.append(&["b"]);
    assert_eq!(held_sequences(&harness.log), [2]);
    harness.sweep();
    assert_eq!(harness.open_after("c", "tab", id(0)).take_all(), ["opening at 2"]);
}

/// A sweep works through mailboxes that it has collected before.
#[test]
fn sweep_leaves_the_mailbox_of_a_user_who_has_returned() {
    let mut harness = Harness::new(NO_LIMITS);
    let left = harness.open("a", "a1");
    harness.close(&left);
    let returned = harness.open("a", "a2");
    harness.log.prune(&[left.mailbox], harness.now.get(), None, &mut |_| {});
    harness.append(&["a"]);
    assert_eq!(returned.take_all(), ["1 last"]);
}

/// There are too many users to remember for each whether an event was evicted.
#[test]
fn log_stays_within_its_bytes_with_many_users() {
    let mut harness = Harness::new(room_for(10));
    for n in 0..1000 {
        harness.append(&[&n.to_string()]);
        harness.advance(Duration::from_secs(1));
    }
    let mailboxes = harness.log.mailboxes.len() * MAILBOX_BYTES;
    assert!(harness.log.bytes + mailboxes <= room_for(10).max_bytes, "{mailboxes}");
    let taken = harness.open_after("0", "tab", id(0)).take_all();
    assert!(taken[1].starts_with("Limit after 7-0"), "{taken:?}");
}

#[test]
fn slow_stream_gets_a_gap_and_continues() {
    let mut harness = Harness::new(room_for(6));
    let slow = harness.open("a", "a1");
    for _ in 0..8 {
        harness.append(&["a"]);
    }
    // The events of one user take at most half of the log.
    assert_eq!(slow.lag(), Lag { events: 3, bytes: 3 * entry_bytes() as u64 });
    assert_eq!(slow.take_all(), ["Limit after 7-0, at 5", "6 last", "7 last", "8 last"]);
    harness.append(&["a"]);
    assert_eq!(slow.take_all(), ["9 last"]);
    harness.append(&["a"]);
    harness.advance(MINUTE);
    assert_eq!(slow.take_all(), ["Expired after 7-9, at 10"]);
}

#[test]
fn slow_stream_gets_one_gap_for_many_evictions() {
    let mut harness = Harness::new(room_for(6));
    let slow = harness.open("a", "a1");
    for _ in 0..8 {
        harness.append(&["a"]);
    }
    assert_eq!(
        slow.take_up_to(1),
        (vec!["Limit after 7-0, at 5".to_owned(), "6 last".to_owned()], TurnOutcome::More)
    );
    assert_eq!(slow.lag(), Lag { events: 2, bytes: 2 * entry_bytes() as u64 });
    assert_eq!(slow.take_all(), ["7 last", "8 last"]);
}

/// A stream that replays an event, or that was ended before it, is no reader of it.
#[test]
fn eviction_is_the_end_of_a_delivery() {
    let mut harness = Harness::new(NO_LIMITS);
    let [fast, slow] = ["a1", "a2"].map(|name| harness.open("a", name));
    harness.append(&["a"]);
    let replaying = harness.open_after("a", "a3", id(0));
    harness.append(&["a"]);
    assert_eq!((fast.take_all().len(), replaying.take_all().len(), slow.take_up_to(1).0.len()), (2, 3, 1));
    assert_eq!(slow.take_up_to(0), (vec!["2 last".to_owned()], TurnOutcome::Wait));
    harness.end(&fast, EndReason::Stopping);
    let late = harness.open("a", "a4");
    harness.append(&["a"]);
    assert_eq!(late.take_all(), ["3"]);
    harness.append(&["b"]);
    harness.advance(MINUTE);
    assert_eq!((held_sequences(&harness.log), &*harness.abandoned), (vec![], &[3][..]));
    assert_eq!(slow.take_all(), ["Expired after 7-2, at 3"]);
    assert_eq!(harness.close(&slow), [0; 0], "it was reported already");
}

#[test]
fn close_of_another_stream_ends_no_delivery() {
    let mut harness = Harness::new(NO_LIMITS);
    let [reader, ended] = ["a1", "a2"].map(|name| harness.open("a", name));
    harness.end(&ended, EndReason::Stopping);
    harness.append(&["a"]);
    let replaying = harness.open_after("a", "a3", id(0));
    assert_eq!([&ended, &replaying].map(|stream| harness.close(stream)), [[0; 0]; 2]);
    assert_eq!(reader.take_all(), ["1 last"]);
}

/// Eviction by a user's share.
#[test]
fn last_of_several_slow_streams_ends_a_delivery() {
    let mut harness = Harness::new(room_for(6));
    let streams = ["a1", "a2"].map(|name| harness.open("a", name));
    for _ in 0..8 {
        harness.append(&["a"]);
    }
    assert_eq!(harness.abandoned, [1, 2, 3, 4, 5]);
    assert_eq!(harness.close(&streams[0]), [0; 0]);
    assert_eq!(harness.close(&streams[1]), [6, 7, 8]);
}

/// In another incarnation the same sequences are other events.
#[test]
fn restart_of_the_log_is_the_end_of_deliveries() {
    let mut harness = Harness::new(NO_LIMITS);
    let slow = harness.open("a", "a1");
    harness.append(&["a"]);
    let elsewhere = |sequence| EventId { incarnation: Incarnation::of(8), sequence };
    harness.resync(elsewhere(0));
    assert_eq!(harness.abandoned, [1]);
    let mut event = event(1, users(&["a"]), "t", 1);
    event.notification.id = elsewhere(1);
    let mut appending = harness.log.start_append(event, harness.now.get()).expect("the log has started");
    assert_eq!(harness.append_batch(&mut appending).map(|appended| appended.streams), Some(1));
    assert_eq!(slow.lag().events, 1);
    assert_eq!(harness.close(&slow), [1]);
}

/// Without a history an event goes when no stream has to take it, and a stream takes nothing after its logout.
#[test]
fn logout_is_the_end_of_later_deliveries() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let stream = harness.open("a", "a1");
    harness.append_event(&["a"], "backchannel-logout", 1);
    assert_eq!(stream.take(), (vec!["1 last".to_owned()], TurnOutcome::LoggedOut));
    harness.append(&["a"]);
    harness.end(&stream, EndReason::Logout);
    harness.advance(MINUTE);
    assert_eq!((held_sequences(&harness.log), &*harness.abandoned), (vec![], &[2][..]));
    assert_eq!(harness.close(&stream), [0; 0]);
}

#[test]
fn lag_counts_no_other_recipients() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    harness.append(&["a", "b", "c"]);
    assert_eq!(stream.lag(), Lag { events: 1, bytes: entry_bytes() as u64 });
    assert_eq!(stream.take_all(), ["1 last"]);
    harness.append(&["a", "b"]);
    assert_eq!(stream.lag(), Lag { events: 1, bytes: entry_bytes() as u64 });
}

#[test]
fn idle_stream_gets_no_gap() {
    let mut harness = Harness::new(room_for(6));
    let idle = harness.open("a", "a1");
    harness.append(&["a"]);
    assert_eq!(idle.take_all(), ["1 last"]);
    for _ in 0..20 {
        harness.append(&["b"]);
    }
    harness.advance(2 * MINUTE);
    for _ in 0..3 {
        harness.append(&["b"]);
    }
    harness.append(&["a"]);
    assert_eq!(idle.take_all(), ["25 last"]);
    // The mailbox gives the same answer to a client that returns.
    assert_eq!(harness.open_after("a", "a2", id(1)).take_all(), ["opening at 1", "25 replay"]);
}

#[test]
fn restarted_log_is_a_gap_for_streams_elsewhere() {
    let mut harness = Harness::new(NO_LIMITS);
    let (idle, lagging) = (harness.open("a", "a1"), harness.open("b", "b1"));
    harness.append(&["b"]);
    harness.woken();
    harness.resync(id(5));
    assert_eq!(harness.woken(), ["a1"], "the other one was woken by the event");
    harness.append(&["a"]);
    assert_eq!(idle.take_all(), ["Expired after 7-0, at 5", "6 last"]);
    assert_eq!(lagging.take_all(), ["Expired after 7-0, at 5"]);
    let elsewhere = EventId { incarnation: Incarnation::of(8), sequence: 0 };
    harness.resync(elsewhere);
    assert_eq!(idle.take_all(), ["Unknown after 7-6, at 0"]);
}

#[test]
fn without_history_events_stay_until_taken() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let [fast, slow] = ["a1", "a2"].map(|name| harness.open("a", name));
    let other = harness.open("b", "b1");
    harness.append(&["a"]);
    harness.append(&["a", "b"]);
    harness.append(&["nobody"]);
    assert_eq!(fast.take_all(), ["1", "2"]);
    harness.advance(MINUTE);
    assert_eq!(held_sequences(&harness.log), [1, 2]);
    assert_eq!(slow.take_up_to(1), (vec!["1 last".to_owned()], TurnOutcome::More));
    harness.advance(MINUTE);
    assert_eq!(held_sequences(&harness.log), [2]);
    assert_eq!((slow.take_all(), other.take_all()), (vec!["2".to_owned()], vec!["2 last".to_owned()]));
    harness.advance(MINUTE);
    assert_eq!((harness.log.bytes, held_sequences(&harness.log)), (0, vec![]));
    assert_eq!(
        harness.open_after("a", "a3", id(1)).take_all(),
        ["opening at ?", "Expired after 7-1, at 2", "position at 3"]
    );
}

#[test]
fn position_is_found_by_time() {
    let mut harness = Harness::new(NO_LIMITS);
    let start = harness.now.get();
    let stream = harness.open("a", "a1");
    for (sequence, second) in [(6, 10), (7, 20), (9, 20), (12, 70)] {
        harness.now.set(start + Duration::from_secs(second));
        harness.sequence = sequence - 1;
        harness.append(&["a"]);
    }
    // The first event was evicted when the last one was appended.
    let check = |second: u64, expected: (u64, Option<GapReason>)| {
        let before = harness.log.position_before(&stream.mailbox, start + Duration::from_secs(second));
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
fn crowd_leaves_no_memory_behind() {
    let mut harness = Harness::new(NO_LIMITS);
    let names: Vec<_> = (0..10_000).map(|n: u32| n.to_string()).collect();
    let readers: Vec<_> = names.iter().map(|name| harness.open(name, "x")).collect();
    for name in &names {
        harness.append(&[name]);
    }
    for reader in &readers {
        harness.close(reader);
    }
    assert_eq!((harness.log.open_streams(), harness.log.connected_users()), (0, 0));
    harness.advance(MINUTE);
    harness.advance(MINUTE / 4);
    assert_eq!((harness.log.bytes, harness.log.mailboxes.len()), (0, 0));
    assert!(harness.log.mailboxes.capacity() <= 64);
}

#[test]
fn single_event_takes_room_for_one() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    harness.append(&["a"]);
    assert_eq!(stream.mailbox.lock().index_capacity(), 1);
}

#[test]
fn mailbox_frees_the_memory_of_a_burst() {
    let mut harness = Harness::new(NO_LIMITS);
    let stream = harness.open("a", "a1");
    for _ in 0..10_000 {
        harness.append(&["a"]);
    }
    assert_eq!(stream.take_all().len(), 10_000);
    harness.advance(MINUTE);
    assert!(stream.mailbox.lock().index_capacity() <= 64);
    harness.advance(MINUTE / 4);
    assert_eq!(stream.mailbox.lock().index_capacity(), 0, "the index is gone");
}

#[test]
fn without_history_unstarted_and_ended_streams_count() {
    let mut harness = Harness::new(LogLimits { max_age: Duration::ZERO, ..NO_LIMITS });
    let (unstarted, ended) = (harness.open_unstarted("a", "a1"), harness.open("b", "b1"));
    harness.append(&["a", "b"]);
    harness.end(&ended, EndReason::Stopping);
    harness.append(&["b"]);
    harness.advance(MINUTE);
    assert_eq!(held_sequences(&harness.log), [1, 2], "events are removed in order");
    harness.log.start(&unstarted.mailbox, unstarted.id, id(0), None);
    assert_eq!(unstarted.take_all(), ["opening at 0", "1 replay", "position at 2"]);
    assert_eq!(ended.take(), (vec!["1 last".to_owned(), "Stopping".to_owned()], TurnOutcome::End));
    harness.advance(MINUTE);
    assert_eq!(held_sequences(&harness.log), [0; 0]);
}
