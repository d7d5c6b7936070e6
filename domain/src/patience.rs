//! How long everybody waits for a stream that cannot take its next event.
//!
//! The bus is read no faster than the streams that make progress can follow: what they cannot take yet waits there.
//! A stream that makes none is ended after a short grace. So that a crowd of such streams cannot slow down the rest, the
//! time spent in vain is remembered as a debt that only a tenth of the time that passes pays back. The greater the debt,
//! the shorter the grace; beyond a limit there is none.

use std::time::{Duration, Instant};

/// What to do with a stream whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it catch up, then offer the event again; judge anew when this much time has passed without room.
    Wait(Duration),
    /// It had its chance: end it, and wait for it no more.
    End,
}

/// The grace for streams that make no progress, and the debt of those that had it in vain.
#[derive(Debug)]
pub struct Patience {
    grace: Duration,
    debt: Duration,
    paid: Instant,
}

/// Up to a debt of so many graces the grace shrinks, …
const CREDIT_GRACES: u32 = 2;
/// … and up to so many there is a least grace left. Beyond that nothing is granted, so the debt hardly grows further.
const DEBT_GRACES: u32 = 4;
/// The least grace is one part in so many.
const LEAST_SHARE: u32 = 10;
/// One part in so many of the time that passes pays back.
const PAYMENT_SHARE: u32 = 10;

impl Patience {
    /// Without debt. `grace` is how long a full queue may make no progress.
    #[must_use]
    pub fn new(grace: Duration, now: Instant) -> Self {
        Self { grace, debt: Duration::ZERO, paid: now }
    }

    /// Judges a stream whose queue is full and out of which nothing has gone for `stalled`; zero when there was nothing
    /// its client could have done. `waited` is how long the present event has already waited for it.
    ///
    /// A stream that has long been stalled is not ended unheard: it may have begun to read again.
    pub fn judge(&mut self, stalled: Duration, waited: Duration, now: Instant) -> Verdict {
        self.pay(now);
        let least = self.grace / LEAST_SHARE;
        let credit = (self.grace * CREDIT_GRACES).saturating_sub(self.debt);
        let (granted, shortest) = if self.debt < self.grace * DEBT_GRACES {
            (credit.clamp(least, self.grace), least)
        } else {
            (Duration::ZERO, SHORTEST_WAIT)
        };
        if stalled > granted && waited >= least.min(granted) {
            Verdict::End
        } else {
            Verdict::Wait(granted.saturating_sub(stalled).max(shortest).max(SHORTEST_WAIT))
        }
    }

    /// Remembers what was spent on a stream that had to be ended.
    pub fn spend(&mut self, in_vain: Duration, now: Instant) {
        self.pay(now);
        self.debt += in_vain;
    }

    fn pay(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.paid);
        self.paid = now;
        self.debt = self.debt.saturating_sub(passed / PAYMENT_SHARE);
    }
}

/// However short the grace: a wait is long enough for time to pass.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

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
        check(ms(250), ms(250), Verdict::Wait(LEAST));
        check(ms(251), ms(251), Verdict::End);
        check(ms(9000), ms(25), Verdict::End);
    }

    #[test]
    fn a_stream_that_seems_long_stalled_still_gets_a_moment() {
        let now = Instant::now();
        let verdict = Patience::new(GRACE, now).judge(ms(9000), ms(0), now);
        assert_eq!(verdict, Verdict::Wait(LEAST));
    }

    #[test]
    fn debt_shortens_the_grace_ends_it_and_is_paid_back() {
        let start = Instant::now();
        let mut patience = Patience::new(GRACE, start);
        patience.spend(ms(300), start);
        assert_eq!(patience.judge(ms(0), ms(0), start), Verdict::Wait(ms(200)));
        patience.spend(ms(300), start);
        assert_eq!(patience.judge(ms(0), ms(0), start), Verdict::Wait(LEAST));
        assert_eq!(patience.judge(ms(26), ms(26), start), Verdict::End);
        patience.spend(ms(10_000), start);
        assert_eq!(patience.judge(ms(1), ms(0), start), Verdict::End, "unheard");
        assert_eq!(
            patience.judge(ms(0), ms(0), start),
            Verdict::Wait(ms(1)),
            "but not when it could do nothing"
        );
        // 10.6 s of debt, of which 10.2 are paid back.
        let later = start + Duration::from_secs(102);
        assert_eq!(patience.judge(ms(0), ms(0), later), Verdict::Wait(ms(100)));
        let much_later = start + Duration::from_hours(1);
        assert_eq!(patience.judge(ms(0), ms(0), much_later), Verdict::Wait(GRACE));
    }

    #[test]
    fn no_grace_is_no_wait() {
        let now = Instant::now();
        let mut patience = Patience::new(Duration::ZERO, now);
        assert_eq!(patience.judge(ms(1), ms(0), now), Verdict::End);
    }

    /// However many streams stall, and however they arrive: at most four graces and a tenth of the time go by in vain, and
    /// one grace on top for the wait that passes the limit.
    #[test]
    fn the_sum_of_what_is_spent_in_vain_is_bounded() {
        let check = |pause: Duration| {
            let start = Instant::now();
            let mut patience = Patience::new(GRACE, start);
            let (mut now, mut in_vain, mut ended) = (start, Duration::ZERO, 0);
            while now < start + Duration::from_secs(10) {
                let arrived = now;
                // Each has filled its queue a moment ago.
                let waited = loop {
                    let waited = now - arrived;
                    match patience.judge(waited + ms(1), waited, now) {
                        Verdict::Wait(time) => now += time,
                        Verdict::End => break waited,
                    }
                };
                patience.spend(waited, now);
                in_vain += waited;
                ended += 1;
                now += pause.saturating_sub(waited).max(ms(1));
            }
            let bound = GRACE * (DEBT_GRACES + 1) + Duration::from_secs(1);
            assert!(in_vain <= bound, "{ended} ended every {pause:?} cost {in_vain:?} of {bound:?}");
        };
        check(ms(50));
        check(ms(5));
        check(ms(1));
    }
}
