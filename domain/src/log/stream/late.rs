//! What a stream takes long after it was recorded.

use std::time::Instant;

use crate::notification::EventId;

/// Events that a stream has taken long after they were recorded, because its client was away or slow, and gaps.
///
/// When an event was recorded does not say then whether it has arrived.
#[derive(Debug)]
pub(in crate::log) struct Late {
    /// The events follow this one.
    after: EventId,
    /// When the last of them was taken.
    taken: Instant,
    /// Where the stream stood at the time `reached`: a client that is always late has this some day.
    checkpoint: EventId,
    reached: Instant,
}

impl Late {
    /// What follows the event `after` is taken late.
    pub(super) fn new(after: EventId, now: Instant) -> Self {
        Self { after, taken: now, checkpoint: after, reached: now }
    }

    /// More is taken late.
    pub(super) fn take(&mut self, now: Instant) {
        self.taken = now;
    }

    /// The last event before those that may not have arrived, when that is what was taken since `written`.
    pub(in crate::log) fn unconfirmed_after(&self, written: Instant) -> Option<EventId> {
        (self.taken >= written).then_some(self.after)
    }

    /// What was written before `written` has arrived; the stream stands at `position` now. False when that is all.
    ///
    /// While more is taken late, the checkpoint moves on, and `after` follows it when everything up to there was written before `written`: of a
    /// client that is always late, no more than the last two such times is unconfirmed.
    pub(super) fn confirm(&mut self, position: EventId, now: Instant, written: Instant) -> bool {
        if self.reached < written {
            self.after = self.checkpoint;
            (self.checkpoint, self.reached) = (position, now);
        }
        self.taken >= written
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::notification::Incarnation;

    fn id(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation::of(1), sequence }
    }

    /// It takes an event late every ten seconds, and what was written ten seconds ago has arrived.
    #[test]
    fn stream_that_is_always_late_is_confirmed_step_by_step() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut late = Late::new(id(0), at(10));
        let mut check = |position: u64, now: u64, after: Option<u64>| {
            let written = at(now - 10);
            assert_eq!(late.confirm(id(position), at(now), written), after.is_some(), "{now} s");
            assert_eq!(late.unconfirmed_after(written), after.map(id), "{now} s");
            late.take(at(now));
        };
        check(1, 20, Some(0));
        // What it had taken by now is known to have arrived ten seconds later.
        check(2, 21, Some(0));
        check(3, 31, Some(0));
        check(4, 32, Some(2));
        check(4, 51, None);
    }
}
