//! How long everybody waits for a stream that cannot take its next event.
//!
//! The bus is read no faster than the streams that make progress can follow: what they cannot take yet waits there.
//! A stream that makes none is ended after a short grace. So that a crowd of such streams cannot slow down the rest,
//! the time spent in vain is itself limited: it comes out of a budget that fills up slowly. When the budget is empty
//! the grace shrinks to a tenth, which still is enough for a client that reads.

use std::time::{Duration, Instant};

/// What to do with a stream whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it catch up, then offer the event again; judge anew when this much time has passed without room.
    Wait(Duration),
    /// It had its chance: end it, and wait for it no more.
    End,
}

/// The grace for streams that make no progress, and the budget it is paid from.
#[derive(Debug)]
pub struct Patience {
    grace: Duration,
    budget: Duration,
    filled: Instant,
}

/// The budget holds this many graces at most.
const BUDGET_GRACES: u32 = 2;
/// One part in so many of the time that passes flows into the budget.
const BUDGET_SHARE: u32 = 10;
/// However empty the budget: one part in so many of the grace is always granted.
const LEAST_SHARE: u32 = 10;

impl Patience {
    /// A full budget. `grace` is how long a full queue may make no progress.
    #[must_use]
    pub fn new(grace: Duration, now: Instant) -> Self {
        Self { grace, budget: grace * BUDGET_GRACES, filled: now }
    }

    /// Judges a stream whose queue is full and out of which nothing has gone for `stalled`. `waited` is how long the
    /// present event has already waited for it.
    ///
    /// A stream that has long been stalled is not ended unheard: if it was this process that stood still, it needs a
    /// moment to show that it reads.
    pub fn judge(&mut self, stalled: Duration, waited: Duration, now: Instant) -> Verdict {
        self.fill(now);
        let least = self.grace / LEAST_SHARE;
        let granted = self.budget.clamp(least, self.grace);
        if stalled >= granted && waited >= least {
            Verdict::End
        } else {
            Verdict::Wait(granted.saturating_sub(stalled).max(least))
        }
    }

    /// Takes out of the budget what was spent on streams that had to be ended.
    pub fn spend(&mut self, in_vain: Duration, now: Instant) {
        self.fill(now);
        self.budget = self.budget.saturating_sub(in_vain);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.budget = (self.budget + passed / BUDGET_SHARE).min(self.grace * BUDGET_GRACES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(250);
    const LEAST: Duration = Duration::from_millis(25);

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_stream_has_the_grace_since_its_last_progress() {
        let check = |stalled, waited, expected| {
            let now = Instant::now();
            assert_eq!(Patience::new(GRACE, now).judge(stalled, waited, now), expected);
        };
        check(ms(0), ms(0), Verdict::Wait(GRACE));
        check(ms(100), ms(0), Verdict::Wait(ms(150)));
        check(ms(100), ms(400), Verdict::Wait(ms(150)));
        check(ms(249), ms(249), Verdict::Wait(LEAST));
        check(ms(250), ms(250), Verdict::End);
        check(ms(9000), ms(25), Verdict::End);
    }

    #[test]
    fn a_stream_that_seems_long_stalled_still_gets_a_moment() {
        let now = Instant::now();
        let verdict = Patience::new(GRACE, now).judge(ms(9000), ms(0), now);
        assert_eq!(verdict, Verdict::Wait(LEAST));
    }

    #[test]
    fn an_empty_budget_leaves_a_tenth_of_the_grace_and_fills_up_again() {
        let start = Instant::now();
        let mut patience = Patience::new(GRACE, start);
        patience.spend(ms(10_000), start);
        assert_eq!(patience.judge(ms(0), ms(0), start), Verdict::Wait(LEAST));
        assert_eq!(patience.judge(LEAST, LEAST, start), Verdict::End);
        let later = start + Duration::from_secs(1);
        assert_eq!(patience.judge(ms(0), ms(0), later), Verdict::Wait(ms(100)));
        let much_later = start + Duration::from_hours(1);
        assert_eq!(patience.judge(ms(0), ms(0), much_later), Verdict::Wait(GRACE));
    }

    #[test]
    fn no_grace_is_no_wait() {
        let now = Instant::now();
        let mut patience = Patience::new(Duration::ZERO, now);
        assert_eq!(patience.judge(ms(0), ms(0), now), Verdict::End);
    }

    /// However the streams stall: of ten seconds at most one and a half go by in vain, but for the least share of each.
    #[test]
    fn the_sum_of_what_is_spent_in_vain_is_bounded() {
        let start = Instant::now();
        let mut patience = Patience::new(GRACE, start);
        let (mut now, mut in_vain, mut ended) = (start, Duration::ZERO, 0);
        while now < start + Duration::from_secs(10) {
            let arrived = now;
            let waited = loop {
                let waited = now - arrived;
                match patience.judge(waited, waited, now) {
                    Verdict::Wait(time) => now += time,
                    Verdict::End => break waited,
                }
            };
            patience.spend(waited, now);
            in_vain += waited;
            ended += 1;
            now += ms(50).saturating_sub(waited);
        }
        assert!(ended > 100, "{ended}");
        let bound = GRACE * BUDGET_GRACES + Duration::from_secs(1) + LEAST * ended;
        assert!(in_vain <= bound, "{in_vain:?} of {bound:?}");
    }
}
