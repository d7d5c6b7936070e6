//! The bounded queue of one stream: the relay fills it, the connection empties it.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use ports::outbound::{EndReason, Frame, Offer, Outbox};
use tokio::sync::Notify;

use super::{super::server::Line, frame::EventFrames};

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

/// One stream's queue.
pub struct Queue {
    state: Mutex<State>,
    room: Notify,
    limits: QueueLimits,
    frames: EventFrames,
    line: Line,
}

struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    ended: Option<EndReason>,
    /// The connection, when it waits for something to write.
    reader: Option<Waker>,
    /// For what somebody waits to have room.
    refused: Option<Entry>,
    /// Since when something has been waiting here.
    unwritten_since: Option<Instant>,
    /// What is written after all that waits, when the stream has ended.
    last: Option<Frame>,
    /// The connection was woken and has not come yet: until it has, nothing says anything of its client.
    woken: bool,
    /// Something has left the queue since the last offer.
    progressed: bool,
    /// How much the kernel had taken at the last offer.
    written_seen: u64,
    /// When an offer last saw progress, or nothing that its client could have done.
    progress_seen: Instant,
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
/// Beyond this the memory of an emptied queue is given back.
const KEPT_CAPACITY: usize = 8;

impl Queue {
    /// An empty queue for frames that `frames` has encoded. `line` is the connection they are written to, and cut when
    /// the stream is ended because its client does not read. `now` is the present time.
    #[must_use]
    pub fn new(limits: QueueLimits, frames: EventFrames, line: Line, now: Instant) -> Self {
        let state = State {
            frames: VecDeque::new(),
            bytes: 0,
            ended: None,
            reader: None,
            refused: None,
            unwritten_since: None,
            last: None,
            woken: false,
            progressed: false,
            written_seen: line.written(),
            progress_seen: now,
        };
        Self { state: Mutex::new(state), room: Notify::new(), limits, frames, line }
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame>>> {
        let mut state = self.state.lock();
        state.woken = false;
        let Some(frame) = state.frames.pop_front().or_else(|| state.last.take()) else {
            return match state.ended {
                Some(EndReason::Slow) => Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
                Some(_) => Poll::Ready(None),
                None => {
                    match &mut state.reader {
                        Some(reader) => reader.clone_from(context.waker()),
                        reader => *reader = Some(context.waker().clone()),
                    }
                    Poll::Pending
                }
            };
        };
        state.bytes = state.bytes.saturating_sub(frame.len());
        state.progressed = true;
        if state.frames.is_empty() {
            state.unwritten_since = None;
            if state.frames.capacity() > KEPT_CAPACITY {
                state.frames = VecDeque::new();
            }
        }
        let room = match state.refused {
            Some(Entry::Live) => self.half_empty(&state),
            Some(Entry::Replay) => state.frames.is_empty(),
            None => false,
        };
        if room {
            state.refused = None;
            self.room.notify_one();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn has_room(&self, state: &State, frame: &Frame) -> bool {
        state.frames.is_empty()
            || (state.frames.len() < self.limits.max_events
                && state.bytes + frame.len() <= self.limits.max_bytes
                && self.frames.waiting() <= self.limits.total_max_bytes)
    }

    /// A replay leaves half of what may wait for all streams together to live events.
    fn has_room_for_replay(&self, state: &State, frame: &Frame) -> bool {
        self.frames.waiting() <= self.limits.total_max_bytes / 2
            && (state.frames.is_empty()
                || (state.bytes + frame.len() <= REPLAY_BYTES && self.has_room(state, frame)))
    }

    /// Waking the relay for each single place would cost more than the delivery.
    fn half_empty(&self, state: &State) -> bool {
        state.frames.len() <= self.limits.max_events / 2 && state.bytes <= self.limits.max_bytes / 2
    }
}

impl State {
    /// For how long the client's line has taken nothing of what is there to be written, as far as one can see at `now`.
    fn stalled(&mut self, line: &Line, now: Instant) -> Duration {
        let written = line.written();
        let wrote = std::mem::replace(&mut self.written_seen, written) != written;
        let nothing_waits = self.frames.is_empty() && !line.is_blocked();
        if std::mem::take(&mut self.progressed) || wrote || self.woken || nothing_waits {
            self.progress_seen = now;
        }
        now.saturating_duration_since(self.progress_seen)
    }
}

impl Queue {
    fn offer(&self, frame: &Frame, now: Instant, entry: Entry) -> Offer {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Offer::Gone;
        }
        let stalled = state.stalled(&self.line, now);
        let has_room = match entry {
            Entry::Live => self.has_room(&state, frame),
            Entry::Replay => self.has_room_for_replay(&state, frame),
        };
        if !has_room {
            state.refused = Some(entry);
            return Offer::Full { stalled };
        }
        state.bytes += frame.len();
        state.frames.push_back(frame.clone());
        state.unwritten_since.get_or_insert(now);
        let reader = state.reader.take();
        state.woken |= reader.is_some();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
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
        self.room.notified().await;
    }

    fn stalled(&self, now: Instant) -> Duration {
        self.state.lock().stalled(&self.line, now)
    }

    fn unwritten_since(&self) -> Option<Instant> {
        self.state.lock().unwritten_since
    }

    fn end(&self, reason: EndReason, last: Option<Frame>) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(reason);
        let waiting = match reason {
            EndReason::Slow | EndReason::Client => {
                state.bytes = 0;
                std::mem::take(&mut state.frames)
            }
            EndReason::Expired
            | EndReason::Logout
            | EndReason::OldAge
            | EndReason::Administrator
            | EndReason::Stopping => {
                state.last = last;
                VecDeque::new()
            }
        };
        let reader = state.reader.take();
        drop(state);
        drop(waiting);
        self.room.notify_one();
        if reason == EndReason::Slow {
            self.line.cut();
        }
        if let Some(reader) = reader {
            reader.wake();
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
}

impl Drop for QueueReader {
    fn drop(&mut self) {
        self.0.end(EndReason::Client, None);
    }
}

#[cfg(test)]
mod tests;
