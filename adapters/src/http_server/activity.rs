//! The state of a connection on which its deadlines depend.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::ConnectionHandle;

/// Step in which the progress of an ordinary response counts, in bytes. So a client that reads very slowly cannot hold a connection
/// forever.
const PROGRESS_BYTES: u32 = 64 * 1024;

/// The requests of a connection and the progress of their responses. With HTTP/2 each stream has an activity too, beside the connection's.
#[derive(Default)]
pub(super) struct Activity {
    pub(super) handle: ConnectionHandle,
    /// Requests received.
    started: AtomicU32,
    /// Requests whose response head is known.
    answered: AtomicU32,
    /// Requests whose response has ended.
    ended: AtomicU32,
    is_stream: AtomicBool,
}

/// The phase of a connection: the event it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the client to take the rest of the last response and to send a complete request. It starts when the connection is
    /// accepted, TLS handshake and protocol detection included, and again after each response.
    Request { started: u32 },
    /// Waits for the application to respond.
    Response { started: u32 },
    /// Waits for the application to produce more of a body. Idle event streams are in this phase.
    Body,
    /// Waits for the client to take more of a body.
    Write { progress: u32 },
    /// Waits for the client to take the rest of an ended response and to close.
    Close,
}

/// A request and its response. Dropping it marks the response as ended.
pub(super) struct Exchange(Arc<Activity>);

impl Activity {
    /// Records the arrival of a request.
    pub(super) fn start_exchange(self: &Arc<Self>) -> Exchange {
        self.started.fetch_add(1, Ordering::Relaxed);
        Exchange(Arc::clone(self))
    }

    /// Returns whether no request has arrived yet.
    pub(super) fn is_new(&self) -> bool {
        self.started.load(Ordering::Relaxed) == 0
    }

    /// Marks the connection as one that carries an event stream: any progress counts, and no further request is expected.
    pub(super) fn mark_as_stream(&self) {
        self.is_stream.store(true, Ordering::Relaxed);
    }

    /// Returns whether the connection waits for a request.
    pub(super) fn is_idle(&self) -> bool {
        let has_ended = self.started.load(Ordering::Relaxed) == self.ended.load(Ordering::Relaxed);
        has_ended && !self.is_stream.load(Ordering::Relaxed)
    }

    pub(super) fn phase(&self) -> Phase {
        let started = self.started.load(Ordering::Relaxed);
        if self.handle.is_finishing() {
            Phase::Close
        } else if self.is_idle() {
            // Also while bytes are left to write: otherwise a client could gain time by having the server write, for example with HTTP/2
            // pings.
            Phase::Request { started }
        } else if self.handle.is_blocked() || self.handle.is_pending() {
            let step = if self.is_stream.load(Ordering::Relaxed) { 1 } else { PROGRESS_BYTES };
            Phase::Write { progress: self.handle.written() / step }
        } else if started != self.answered.load(Ordering::Relaxed) {
            Phase::Response { started }
        } else {
            Phase::Body
        }
    }
}

impl Exchange {
    /// Returns whether the connection was cut because its client did not take the written bytes in time.
    pub(super) fn has_timed_out(&self) -> bool {
        self.0.handle.has_timed_out()
    }

    /// Records that the response head is known.
    pub(super) fn mark_answered(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
