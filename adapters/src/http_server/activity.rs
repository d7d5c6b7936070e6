//! What a connection is doing, as far as its deadlines depend on it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::ConnectionHandle;

/// Progress of an ordinary answer counts in steps of so many bytes: a client that takes a trickle does not hold a connection for ever.
const PROGRESS_BYTES: u32 = 64 * 1024;

/// The requests of a connection, and how far the answers have come. With HTTP/2 each stream has an activity of its own beside the
/// connection's.
#[derive(Default)]
pub(super) struct Activity {
    pub(super) handle: ConnectionHandle,
    begun: AtomicU32,
    answered: AtomicU32,
    ended: AtomicU32,
    streams: AtomicBool,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client, to take the rest of the last answer and to complete another request. It begins when the connection is accepted, and again
    /// behind each answer; handshake and protocol detection are part of it.
    Request { begun: u32 },
    /// The application, to answer.
    Answer { begun: u32 },
    /// The application, to produce more of an answer. A silent event stream waits here.
    Body,
    /// The client, to take more of an answer.
    Write { progress: u32 },
    /// The client, to take the rest of an answer that has ended, and to close.
    End,
}

/// One request and its answer. The answer has ended when this is dropped.
pub(super) struct Exchange(Arc<Activity>);

impl Activity {
    /// A request has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Exchange(Arc::clone(self))
    }

    /// Whether no request has ever arrived.
    pub(super) fn is_new(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    /// From now on the connection carries a stream and nothing else: any progress counts, and no other request is waited for.
    pub(super) fn stream(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }

    /// Whether the connection waits for a request.
    pub(super) fn is_idle(&self) -> bool {
        let has_ended = self.begun.load(Ordering::Relaxed) == self.ended.load(Ordering::Relaxed);
        has_ended && !self.streams.load(Ordering::Relaxed)
    }

    /// What the connection waits for.
    pub(super) fn phase(&self) -> Phase {
        let begun = self.begun.load(Ordering::Relaxed);
        if self.handle.is_finishing() {
            Phase::End
        } else if self.is_idle() {
            // Also while something is left to write: a client that has the server write, by pings of HTTP/2, gains no time.
            Phase::Request { begun }
        } else if self.handle.is_blocked() || self.handle.is_pending() {
            let step = if self.streams.load(Ordering::Relaxed) { 1 } else { PROGRESS_BYTES };
            Phase::Write { progress: self.handle.written() / step }
        } else if begun != self.answered.load(Ordering::Relaxed) {
            Phase::Answer { begun }
        } else {
            Phase::Body
        }
    }
}

impl Exchange {
    /// Whether its connection was cut because the client did not take what was written in time.
    pub(super) fn is_overdue(&self) -> bool {
        self.0.handle.is_overdue()
    }

    /// The head of the answer is known.
    pub(super) fn answered(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
