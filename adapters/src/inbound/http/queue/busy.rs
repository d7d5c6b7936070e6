//! A queue in which something waits.

use std::{
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

use ports::outbound::Frame;

use super::Entry;
use crate::http_server::ConnectionHandle;

/// What is known of a queue in which something waits.
pub(super) struct Busy {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// For what somebody waits to have room.
    pub(super) refused: Option<Entry>,
    /// Who that is.
    pub(super) waiter: Option<Waker>,
    /// Since when something has been waiting here.
    unwritten_since: Option<Instant>,
    /// Something has left the queue since the last offer.
    progressed: bool,
    /// How much the kernel had taken at the last offer.
    written_seen: u32,
    /// When an offer last saw progress, or nothing that its client could have done.
    progress_seen: Option<Instant>,
}

impl Busy {
    /// Nothing waits yet.
    pub(super) fn new(handle: &ConnectionHandle) -> Self {
        Self {
            // Mostly there is one.
            frames: VecDeque::with_capacity(1),
            bytes: 0,
            refused: None,
            waiter: None,
            unwritten_since: None,
            progressed: false,
            written_seen: handle.written(),
            progress_seen: None,
        }
    }

    /// `frame` waits from `now` on.
    pub(super) fn push(&mut self, frame: Frame, now: Instant) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        self.unwritten_since.get_or_insert(now);
    }

    /// `frame` waits as well, and is the last: no limit holds for it.
    pub(super) fn push_last(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    /// The frame that has waited longest.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.len());
        self.progressed = true;
        if self.frames.is_empty() {
            self.unwritten_since = None;
        }
        Some(frame)
    }

    /// All that waits.
    pub(super) fn take(&mut self) -> VecDeque<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// How many frames wait.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How many bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits any more.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Since when something has been waiting.
    pub(super) fn unwritten_since(&self) -> Option<Instant> {
        self.unwritten_since
    }

    /// Whether there is nothing left that has to be known.
    pub(super) fn is_over(&self, handle: &ConnectionHandle) -> bool {
        self.is_empty() && self.refused.is_none() && self.waiter.is_none() && !handle.is_blocked()
    }

    /// For how long the client's handle has taken nothing of what is there to be written, as far as one can see at `now`.
    pub(super) fn stalled(&mut self, handle: &ConnectionHandle, woken: bool, now: Instant) -> Duration {
        let written = handle.written();
        let wrote = std::mem::replace(&mut self.written_seen, written) != written;
        // A handle that is blocked is its client's doing, whether its connection has come or not.
        let not_its_doing = !handle.is_blocked() && (woken || self.is_empty());
        if std::mem::take(&mut self.progressed) || wrote || not_its_doing {
            self.progress_seen = Some(now);
        }
        now.saturating_duration_since(*self.progress_seen.get_or_insert(now))
    }
}
