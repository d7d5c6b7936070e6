//! The bounded queue of one stream: the relay fills it, the connection empties it.

mod busy;

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use ports::outbound::{EndReason, Frame, Offer, Outbox};

use self::busy::Busy;
use super::frame::EventFrames;
use crate::http_server::ConnectionHandle;

/// How much may wait for clients.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Events in one stream's queue.
    pub max_events: usize,
    /// Bytes in one stream's queue.
    pub max_bytes: usize,
    /// Bytes in all queues together; an event that waits in several is counted once.
    pub total_max_bytes: usize,
}

/// What all queues have in common.
pub struct Queues {
    /// How much may wait in them.
    pub limits: QueueLimits,
    /// What has encoded their frames, and knows how much waits in all of them.
    pub frames: EventFrames,
}

/// One stream's queue. While nothing waits in it, it is as good as nothing.
pub struct Queue {
    state: Mutex<State>,
    all: Arc<Queues>,
    handle: ConnectionHandle,
}

#[derive(Default)]
struct State {
    /// None while nothing waits.
    busy: Option<Box<Busy>>,
    ended: Option<EndReason>,
    /// The connection waits for something to write.
    waits: bool,
    /// The connection was woken and has not come yet: until it has, nothing says anything of its client.
    woken: bool,
    /// Whoever waits for room may look for it.
    room: bool,
}

/// What wants to enter a queue.
#[derive(Clone, Copy)]
enum Entry {
    /// An event that has just come: half of the queue has to be free.
    Live,
    /// One that was missed: all of it has to be.
    Replay,
}

/// Of what a client has missed, so many bytes wait in its queue at most, or one larger event.
const REPLAY_BYTES: usize = 64 * 1024;

impl Queue {
    /// An empty queue. `handle` is the connection that its frames are written to, and that is cut when the stream is ended
    /// because its client does not read.
    #[must_use]
    pub fn new(all: Arc<Queues>, handle: ConnectionHandle) -> Self {
        Self { state: Mutex::default(), all, handle }
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame>>> {
        let mut state = self.state.lock();
        state.woken = false;
        if let Some(busy) = &mut state.busy
            && let Some(frame) = busy.pop()
        {
            let room = match busy.refused {
                Some(Entry::Live) => self.all.is_half_empty(busy),
                Some(Entry::Replay) => busy.is_empty(),
                None => false,
            };
            if room {
                state.make_room();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match state.ended {
            Some(EndReason::Slow) => Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
            Some(_) => Poll::Ready(None),
            None => {
                state.waits = true;
                state.busy.take_if(|busy| busy.is_over(&self.handle));
                self.handle.register(context);
                Poll::Pending
            }
        }
    }
}

impl Queues {
    fn has_room(&self, busy: &Busy, frame: &Frame) -> bool {
        busy.is_empty()
            || (busy.frames() < self.limits.max_events
                && busy.bytes() + frame.len() <= self.limits.max_bytes
                && self.frames.waiting() <= self.limits.total_max_bytes)
    }

    /// A replay leaves half of what may wait for all streams together to live events.
    fn has_room_for_replay(&self, busy: &Busy, frame: &Frame) -> bool {
        self.frames.waiting() <= self.limits.total_max_bytes / 2
            && (busy.is_empty() || (busy.bytes() + frame.len() <= REPLAY_BYTES && self.has_room(busy, frame)))
    }

    /// Waking the relay for each single place would cost more than the delivery.
    fn is_half_empty(&self, busy: &Busy) -> bool {
        busy.frames() <= self.limits.max_events / 2 && busy.bytes() <= self.limits.max_bytes / 2
    }
}

impl State {
    fn busy(&mut self, handle: &ConnectionHandle) -> &mut Busy {
        self.busy.get_or_insert_with(|| Box::new(Busy::new(handle)))
    }

    /// Whoever waits for room is told.
    fn make_room(&mut self) {
        self.room = true;
        if let Some(busy) = &mut self.busy {
            busy.refused = None;
            if let Some(waiter) = busy.waiter.take() {
                waiter.wake();
            }
        }
    }
}

impl Queue {
    fn offer(&self, frame: &Frame, now: Instant, entry: Entry) -> Offer {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Offer::Gone;
        }
        let woken = state.woken;
        let busy = state.busy(&self.handle);
        let stalled = busy.stalled(&self.handle, woken, now);
        let has_room = match entry {
            Entry::Live => self.all.has_room(busy, frame),
            Entry::Replay => self.all.has_room_for_replay(busy, frame),
        };
        if !has_room {
            busy.refused = Some(entry);
            return Offer::Full { stalled };
        }
        busy.push(frame.clone(), now);
        let waits = std::mem::take(&mut state.waits);
        state.woken |= waits;
        drop(state);
        if waits {
            self.handle.wake();
        }
        Offer::Accepted
    }
}

#[async_trait]
impl Outbox for Queue {
    fn offer(&self, frame: &Frame, now: Instant) -> Offer {
        self.offer(frame, now, Entry::Live)
    }

    fn replay(&self, frame: &Frame, now: Instant) -> Offer {
        self.offer(frame, now, Entry::Replay)
    }

    async fn room(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if std::mem::take(&mut state.room) || state.ended.is_some() {
                return Poll::Ready(());
            }
            state.busy(&self.handle).waiter = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn stalled(&self, now: Instant) -> Duration {
        let mut state = self.state.lock();
        if state.busy.is_none() && !self.handle.is_blocked() {
            return Duration::ZERO;
        }
        let woken = state.woken;
        state.busy(&self.handle).stalled(&self.handle, woken, now)
    }

    fn unwritten_since(&self) -> Option<Instant> {
        self.state.lock().busy.as_ref()?.unwritten_since()
    }

    fn end(&self, reason: EndReason, last: Option<Frame>) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(reason);
        state.make_room();
        let mut waiting = VecDeque::new();
        match reason {
            EndReason::Slow | EndReason::Client => {
                if let Some(busy) = &mut state.busy {
                    waiting = busy.take();
                }
                if reason == EndReason::Slow {
                    // Before the end can be seen, which would close the connection without a reset.
                    self.handle.cut();
                }
            }
            EndReason::Expired
            | EndReason::Logout
            | EndReason::OldAge
            | EndReason::Administrator
            | EndReason::Stopping => {
                // Before the last frame can be taken: how it is written depends on it.
                self.handle.finish();
                if let Some(last) = last {
                    state.busy(&self.handle).push_last(last);
                }
            }
        }
        let waits = std::mem::take(&mut state.waits);
        drop(state);
        drop(waiting);
        if waits {
            self.handle.wake();
        }
    }
}

/// The connection's end of a queue. When it is dropped, the stream is over.
pub struct QueueReader(Arc<Queue>);

impl QueueReader {
    /// The one reader of `queue`.
    #[must_use]
    pub fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// The next frame to write; `None` when the stream has ended and everything is written.
    ///
    /// # Errors
    ///
    /// The stream was ended because its client does not read.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame>>> {
        self.0.poll_next(context)
    }

    /// Whether the client did not take in time what was written to it.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.0.handle.is_overdue()
    }
}

impl Drop for QueueReader {
    fn drop(&mut self) {
        self.0.end(EndReason::Client, None);
    }
}

#[cfg(test)]
mod tests;
