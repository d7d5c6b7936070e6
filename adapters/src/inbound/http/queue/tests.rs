#![expect(clippy::disallowed_methods, reason = "a test starts at any time")]

use std::task::Waker;

use domain::{
    content::Version,
    notification::{EventId, EventType, Incarnation, Notification},
};
use ports::outbound::{Frames as _, MockClock, MockMetrics};

use super::*;

const LIMITS: QueueLimits = QueueLimits { max_events: 4, max_bytes: 100, total_max_bytes: 1000 };

fn frames() -> EventFrames {
    EventFrames::new(Arc::new(MockMetrics::new()), Arc::new(MockClock::new()))
}

fn queue(limits: QueueLimits) -> Queue {
    queue_of(limits, &frames())
}

fn queue_of(limits: QueueLimits, frames: &EventFrames) -> Queue {
    Queue::new(Arc::new(Queues { limits, frames: frames.clone() }), ConnectionHandle::default())
}

fn frame(bytes: usize) -> Frame {
    Frame::from(vec![b'x'; bytes])
}

fn offer(queue: &Queue, bytes: usize) -> Offer {
    Outbox::offer(queue, &frame(bytes), Instant::now())
}

fn take(queue: &Queue) -> Option<usize> {
    match queue.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => Some(frame.len()),
        Poll::Ready(Some(Err(_)) | None) | Poll::Pending => None,
    }
}

/// An event that is counted among those that wait.
fn event(frames: &EventFrames, bytes: usize) -> Frame {
    let notification = Notification {
        id: EventId { incarnation: Incarnation::of(1), sequence: 1 },
        recipients: Vec::new(),
        event_type: EventType::try_new("t").unwrap(),
        content: "x".repeat(bytes).into(),
    };
    frames.event(&notification, Version::FALLBACK, None)
}

fn is_full(offer: Offer) -> bool {
    matches!(offer, Offer::Full { .. })
}

#[test]
fn events_leave_in_the_order_in_which_they_came() {
    let queue = queue(LIMITS);
    for bytes in [1, 2, 3] {
        assert_eq!(offer(&queue, bytes), Offer::Accepted);
    }
    assert_eq!([take(&queue), take(&queue), take(&queue), take(&queue)], [Some(1), Some(2), Some(3), None]);
}

#[test]
fn it_is_bounded_in_events_and_in_bytes() {
    let by_events = queue(LIMITS);
    for _ in 0..4 {
        assert_eq!(offer(&by_events, 1), Offer::Accepted);
    }
    assert!(is_full(offer(&by_events, 1)));

    let by_bytes = queue(LIMITS);
    assert_eq!(offer(&by_bytes, 60), Offer::Accepted);
    assert!(is_full(offer(&by_bytes, 41)));
    assert_eq!(offer(&by_bytes, 40), Offer::Accepted);
}

#[test]
fn one_larger_event_passes_through_an_empty_queue() {
    let queue = queue(LIMITS);
    assert_eq!(offer(&queue, 5000), Offer::Accepted);
    assert!(is_full(offer(&queue, 1)));
    assert_eq!(take(&queue), Some(5000));
    assert_eq!(offer(&queue, 1), Offer::Accepted);
}

#[test]
fn all_queues_together_are_bounded_but_each_may_hold_one_event() {
    let frames = frames();
    let of = |bytes| event(&frames, bytes);
    let limits = QueueLimits { max_events: 100, max_bytes: 10_000, total_max_bytes: 1000 };
    let [one, other] = [(); 2].map(|()| queue_of(limits, &frames));
    let now = Instant::now();
    assert_eq!(Outbox::offer(&one, &of(600), now), Offer::Accepted);
    assert!(is_full(Outbox::offer(&one, &of(600), now)), "1,200 bytes in all");
    assert_eq!(Outbox::offer(&other, &of(600), now), Offer::Accepted, "an empty queue");
    assert!(is_full(Outbox::offer(&other, &of(1), now)));
    drop(one);
    assert_eq!(Outbox::offer(&other, &of(1), now), Offer::Accepted);
}

#[test]
fn a_replay_takes_little_room_and_waits_until_it_is_read() {
    let limits = QueueLimits { max_events: 1000, max_bytes: 1 << 20, total_max_bytes: 1 << 30 };
    let queue = queue(limits);
    let now = Instant::now();
    assert_eq!(queue.replay(&frame(REPLAY_BYTES - 1), now), Offer::Accepted);
    assert!(is_full(queue.replay(&frame(2), now)));
    let mut room = queue.room();
    let mut poll = || room.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    assert_eq!(
        Outbox::offer(&queue, &frame(2), now),
        Offer::Accepted,
        "a live event has all the room there is"
    );
    take(&queue);
    assert!(poll().is_pending(), "a live event still waits");
    take(&queue);
    assert!(poll().is_ready());
    assert_eq!(queue.replay(&frame(3 * REPLAY_BYTES), now), Offer::Accepted, "one larger event passes");
}

#[test]
fn replays_leave_half_of_all_room_to_live_events() {
    let frames = frames();
    let limits = QueueLimits { max_events: 100, max_bytes: 10_000, total_max_bytes: 1000 };
    let [one, other] = [(); 2].map(|()| queue_of(limits, &frames));
    let now = Instant::now();
    assert_eq!(one.replay(&event(&frames, 400), now), Offer::Accepted);
    assert!(is_full(other.replay(&event(&frames, 400), now)), "even into an empty queue");
    assert_eq!(Outbox::offer(&other, &event(&frames, 400), now), Offer::Accepted);
}

#[test]
fn it_says_since_when_something_waits_and_remembers_it() {
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let queue = queue(LIMITS);
    assert_eq!(queue.unwritten_since(), None);
    Outbox::offer(&queue, &frame(1), at(10));
    Outbox::offer(&queue, &frame(1), at(20));
    assert_eq!(queue.unwritten_since(), Some(at(10)));
    take(&queue);
    assert_eq!(queue.unwritten_since(), Some(at(10)));
    take(&queue);
    assert_eq!(queue.unwritten_since(), None);
    Outbox::offer(&queue, &frame(1), at(30));
    queue.end(EndReason::Client, None);
    assert_eq!(queue.unwritten_since(), Some(at(30)));
}

#[test]
fn what_waits_or_blocks_the_line_is_stalled_until_something_moves() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let stalled = |queue: &Queue, seconds| Outbox::stalled(queue, at(seconds)).as_secs();
    let queue = queue(LIMITS);
    assert_eq!(stalled(&queue, 20), 0, "nothing waits");
    Outbox::offer(&queue, &frame(1), at(20));
    assert_eq!([stalled(&queue, 30), stalled(&queue, 45)], [10, 25]);
    take(&queue);
    assert_eq!(stalled(&queue, 50), 0, "it was taken");
    // The connection has it, but the kernel does not take it.
    queue.handle.record_write(&Poll::Pending);
    assert_eq!(stalled(&queue, 80), 30);
    queue.handle.record_write(&Poll::Ready(Ok(1)));
    assert_eq!([stalled(&queue, 81), stalled(&queue, 200)], [0, 0]);
}

/// Such a connection has more to write before it comes for what is new, and is not waited for: it is its client that does not read.
#[test]
fn a_connection_that_is_woken_while_its_line_is_blocked_is_stalled_all_the_same() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let queue = queue(LIMITS);
    Outbox::offer(&queue, &frame(1), at(0));
    // It takes all there is, waits for more, and then the kernel takes nothing.
    assert_eq!([take(&queue), take(&queue)], [Some(1), None]);
    queue.handle.record_write(&Poll::Pending);
    Outbox::offer(&queue, &frame(1), at(1));
    assert_eq!(Outbox::stalled(&queue, at(1)).as_secs(), 0);
    assert_eq!(Outbox::stalled(&queue, at(11)).as_secs(), 10);
    // It reads again.
    queue.handle.record_write(&Poll::Ready(Ok(1)));
    assert_eq!(Outbox::stalled(&queue, at(12)).as_secs(), 0);
}

#[test]
fn the_last_frame_comes_after_all_that_waits_whatever_the_limits() {
    let queue = queue(LIMITS);
    assert_eq!(offer(&queue, 100), Offer::Accepted);
    queue.end(EndReason::Expired, Some(frame(7)));
    assert_eq!(offer(&queue, 1), Offer::Gone);
    assert_eq!([take(&queue), take(&queue), take(&queue)], [Some(100), Some(7), None]);
    assert!(!queue.handle.is_cut());
}

#[test]
fn it_says_for_how_long_nothing_has_left_it() {
    let queue = queue(LIMITS);
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let stalled = |milliseconds| Offer::Full { stalled: Duration::from_millis(milliseconds) };
    assert_eq!(Outbox::offer(&queue, &frame(100), at(0)), Offer::Accepted);
    assert_eq!(Outbox::offer(&queue, &frame(1), at(40)), stalled(40));
    assert_eq!(Outbox::offer(&queue, &frame(1), at(90)), stalled(90));
    take(&queue);
    assert_eq!(Outbox::offer(&queue, &frame(100), at(100)), Offer::Accepted);
    assert_eq!(Outbox::offer(&queue, &frame(1), at(130)), stalled(30));
}

#[test]
fn a_client_is_not_blamed_while_its_connection_has_not_come() {
    let queue = queue(LIMITS);
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    assert_eq!(take(&queue), None, "the connection waits");
    assert_eq!(Outbox::offer(&queue, &frame(100), at(0)), Offer::Accepted);
    assert_eq!(Outbox::offer(&queue, &frame(1), at(90)), Offer::Full { stalled: Duration::ZERO });
    assert_eq!(take(&queue), Some(100));
    assert_eq!(Outbox::offer(&queue, &frame(100), at(100)), Offer::Accepted);
    assert_eq!(Outbox::offer(&queue, &frame(1), at(190)), Offer::Full { stalled: Duration::from_millis(90) });
}

#[tokio::test]
async fn whoever_waits_for_room_is_woken_when_half_of_it_is_free() {
    let queue = queue(LIMITS);
    for _ in 0..4 {
        offer(&queue, 1);
    }
    assert!(is_full(offer(&queue, 1)));
    let mut room = queue.room();
    let mut poll = || room.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    take(&queue);
    assert!(poll().is_pending());
    take(&queue);
    assert!(poll().is_ready());
}

#[tokio::test]
async fn a_stream_that_ends_wakes_whoever_waits_for_room() {
    let queue = queue(LIMITS);
    offer(&queue, 100);
    assert!(is_full(offer(&queue, 1)));
    queue.end(EndReason::Client, None);
    queue.room().await;
    assert_eq!(offer(&queue, 1), Offer::Gone);
}

#[test]
fn a_clean_end_writes_what_waits_and_a_cut_does_not() {
    let clean = queue(LIMITS);
    offer(&clean, 1);
    clean.end(EndReason::Stopping, None);
    clean.end(EndReason::Slow, None);
    assert_eq!(take(&clean), Some(1));
    let end = clean.poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(end, Poll::Ready(None)));
    assert!(!clean.handle.is_cut(), "only the first reason counts");

    let cut = queue(LIMITS);
    offer(&cut, 1);
    cut.end(EndReason::Slow, None);
    let end = cut.poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(end, Poll::Ready(Some(Err(_)))));
    assert!(cut.handle.is_cut());
}

#[test]
fn an_idle_queue_holds_no_buffer() {
    let queue = queue(QueueLimits { max_events: 1000, ..LIMITS });
    for _ in 0..100 {
        offer(&queue, 1);
    }
    while take(&queue).is_some() {}
    assert!(queue.state.lock().busy.is_none());
}
