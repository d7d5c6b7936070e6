//! What would otherwise happen to many at once is spread over a span of time.

use std::time::Duration;

/// A place between zero and one, so chosen that any run of consecutive numbers is spread evenly: chance would leave
/// crowds and gaps, and would have to be asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread(f64);

/// The golden ratio's fraction, as a fraction of 2⁶⁴: the number whose multiples stay furthest away from each other.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A life ends earlier by at most one part in so many: 5 %.
const EARLIER_SHARE: u32 = 20;

impl Spread {
    /// The place of the number `n`.
    #[must_use]
    pub fn of(n: u64) -> Self {
        let [.., first, second, third, fourth] = n.wrapping_mul(GOLDEN).to_le_bytes();
        let upper = u32::from_le_bytes([first, second, third, fourth]);
        Self(f64::from(upper) / (f64::from(u32::MAX) + 1.0))
    }

    /// `time`, or up to 5 % less.
    #[must_use]
    pub fn earlier(self, time: Duration) -> Duration {
        time.saturating_sub((time / EARLIER_SHARE).mul_f64(self.0))
    }

    /// `time`, or up to half as much more.
    #[must_use]
    pub fn later(self, time: Duration) -> Duration {
        time + (time / 2).mul_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A hundred in a row, wherever they begin: each tenth of the span gets about a tenth of them.
        #[test]
        fn a_crowd_is_spread_evenly(first in any::<u64>()) {
            let mut tenths = [0; 10];
            for n in 0..100 {
                let later = Spread::of(first.wrapping_add(n)).later(Duration::from_secs(2));
                let beyond = later.checked_sub(Duration::from_secs(2)).expect("never less");
                tenths[usize::try_from(beyond.as_millis() / 100).expect("small")] += 1;
            }
            prop_assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
        }

        #[test]
        fn a_life_is_shorter_by_a_twentieth_at_most(n in any::<u64>(), seconds in 0..10_000_000_u64) {
            let time = Duration::from_secs(seconds);
            let spread = Spread::of(n).earlier(time);
            prop_assert!(spread <= time && spread >= time.mul_f64(0.949_999));
        }
    }
}
