//! The events that a stream takes long after they were recorded.

use std::time::{Duration, Instant};

use crate::notification::EventId;

/// The range of events and gaps that a stream has taken late, because its client was away or slow, and that may not have arrived yet.
///
/// For other events the time at which they were recorded shows whether they have arrived. For these it does not.
#[derive(Debug)]
pub(in crate::log) struct LateWindow {
    /// The event before the range.
    after: EventId,
    /// When the stream last took something late.
    last_taken: Instant,
    /// The position of the stream at `checkpoint_time`. `after` moves up to it even if the client never stops being late.
    checkpoint: EventId,
    checkpoint_time: Instant,
}

/// A range as another process continues it, on its own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateState {
    /// The event before the range.
    pub after: EventId,
    /// How long ago the stream last took something late.
    pub since_last_taken: Duration,
    /// The position of the stream at the last checkpoint.
    pub checkpoint: EventId,
    /// How long ago the last checkpoint was.
    pub since_checkpoint: Duration,
}

impl LateWindow {
    /// Continues at `now` the range of another process.
    pub(super) fn from_state(state: LateState, now: Instant) -> Self {
        let LateState { after, since_last_taken, checkpoint, since_checkpoint } = state;
        let ago = |time| now.checked_sub(time).unwrap_or(now);
        Self { after, last_taken: ago(since_last_taken), checkpoint, checkpoint_time: ago(since_checkpoint) }
    }

    /// Returns the range as another process continues it.
    pub(super) fn state(&self, now: Instant) -> LateState {
        LateState {
            after: self.after,
            since_last_taken: now.saturating_duration_since(self.last_taken),
            checkpoint: self.checkpoint,
            since_checkpoint: now.saturating_duration_since(self.checkpoint_time),
        }
    }

    /// Creates a range of events after `after`, the first of which is taken at `now`.
    pub(super) fn new(after: EventId, now: Instant) -> Self {
        Self { after, last_taken: now, checkpoint: after, checkpoint_time: now }
    }

    /// Extends the range by what is taken at `now`.
    pub(super) fn extend(&mut self, now: Instant) {
        self.last_taken = now;
    }

    /// Returns the event before the range if some of the range was taken at `confirmed_until` or later, and so may not have arrived.
    pub(in crate::log) fn unconfirmed_after(&self, confirmed_until: Instant) -> Option<EventId> {
        (self.last_taken >= confirmed_until).then_some(self.after)
    }

    /// Records that everything written before `confirmed_until` has arrived, and that the stream is at `position` now. Returns whether some
    /// of the range is still unconfirmed.
    ///
    /// `after` moves up to the checkpoint when everything up to the checkpoint has arrived; `position` is the next checkpoint. So a client
    /// that is always late has no more unconfirmed events than it took in two such periods.
    pub(super) fn confirm(&mut self, position: EventId, now: Instant, confirmed_until: Instant) -> bool {
        if self.checkpoint_time < confirmed_until {
            self.after = self.checkpoint;
            (self.checkpoint, self.checkpoint_time) = (position, now);
        }
        self.last_taken >= confirmed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Incarnation;

    fn id(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation::of(1), sequence }
    }

    /// The stream takes an event late every ten seconds, and what was written ten seconds ago has arrived.
    #[test]
    fn late_stream_is_confirmed_step_by_step() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut late = LateWindow::new(id(0), at(10));
        let mut check = |position: u64, now: u64, after: Option<u64>| {
            let confirmed_until = at(now - 10);
            assert_eq!(late.confirm(id(position), at(now), confirmed_until), after.is_some(), "{now} s");
            assert_eq!(late.unconfirmed_after(confirmed_until), after.map(id), "{now} s");
            late.extend(at(now));
        };
        check(1, 20, Some(0));
        // Ten seconds later, what the stream has taken by now has arrived.
        check(2, 21, Some(0));
        check(3, 31, Some(0));
        check(4, 32, Some(2));
        check(4, 51, None);
    }
}
