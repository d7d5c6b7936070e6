//! Jitter: distributes over time what would happen to many streams at once.

use std::time::Duration;

/// A fraction between zero and one from a low-discrepancy sequence: any run of consecutive numbers is distributed evenly. Random numbers
/// would leave clusters and gaps, and the domain has no source of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(f64);

/// The fractional part of the golden ratio, in units of 2⁻⁶⁴. Its multiples modulo one are the most evenly distributed.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// 2³², which converts 32 bits into a fraction.
const TWO_POW_32: f64 = 4_294_967_296.0;

/// A time is shortened by at most one part in this many, which is 5 %.
const SHORTENING_DIVISOR: u32 = 20;

impl Jitter {
    /// Returns the jitter with the number `n`.
    #[must_use]
    pub fn of(n: u64) -> Self {
        let [.., first, second, third, fourth] = n.wrapping_mul(GOLDEN_RATIO).to_le_bytes();
        let upper = u32::from_le_bytes([first, second, third, fourth]);
        Self(f64::from(upper) / TWO_POW_32)
    }

    /// Shortens `time` by up to 5 %, but by no more than `limit`.
    #[must_use]
    pub fn shorten(self, time: Duration, limit: Duration) -> Duration {
        time.saturating_sub((time / SHORTENING_DIVISOR).min(limit).mul_f64(self.0))
    }

    /// Returns whether the moment that this jitter selects in each `period` falls after `from` and not after `until`.
    #[must_use]
    pub fn is_due_between(self, from: Duration, until: Duration, period: Duration) -> bool {
        let moments = |time: Duration| (time.div_duration_f64(period) - self.0).floor();
        moments(from) < moments(until)
    }

    /// Lengthens `time` by up to a half.
    #[must_use]
    pub fn lengthen(self, time: Duration) -> Duration {
        time + (time / 2).mul_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moment_is_the_same_in_each_period() {
        let period = Duration::from_secs(100);
        // The number 1 selects the fractional part of the golden ratio: 0.618.
        let is_due = |from: u64| {
            let (from, until) = (Duration::from_secs(from), Duration::from_secs(from + 1));
            Jitter::of(1).is_due_between(from, until, period)
        };
        let moments: Vec<_> = (0..200).filter(|from| is_due(*from)).collect();
        assert_eq!(moments, [61, 161]);
    }

    proptest! {
        /// Of any hundred consecutive numbers, each tenth of the span gets about ten.
        #[test]
        fn jitter_of_consecutive_numbers_is_even(first in any::<u64>()) {
            let mut tenths = [0; 10];
            for n in 0..100 {
                let later = Jitter::of(first.wrapping_add(n)).lengthen(Duration::from_secs(2));
                let beyond = later.checked_sub(Duration::from_secs(2)).expect("never less");
                tenths[usize::try_from(beyond.as_millis() / 100).expect("small")] += 1;
            }
            prop_assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
        }

        /// The moment occurs once per period, however the time is divided into intervals.
        #[test]
        fn moment_occurs_once_per_period(n in any::<u64>(), intervals in prop::collection::vec(0..20_u64, 1..30)) {
            let (jitter, period, mut time, mut moments) = (Jitter::of(n), 20, 0, 0);
            for interval in intervals {
                let (from, until) = (Duration::from_secs(time), Duration::from_secs(time + interval));
                moments += u64::from(jitter.is_due_between(from, until, Duration::from_secs(period)));
                time += interval;
            }
            prop_assert!((time / period..=time / period + 1).contains(&moments), "{moments} in {time} s");
        }

        #[test]
        fn shortening_takes_at_most_a_twentieth(n in any::<u64>(), seconds in 0..10_000_000_u64) {
            let (time, limit) = (Duration::from_secs(seconds), Duration::from_secs(1000));
            let shortened = Jitter::of(n).shorten(time, limit);
            prop_assert!(shortened <= time && shortened >= time.mul_f64(0.949_999));
            prop_assert!(time <= shortened + limit);
        }
    }
}
