//! Distributions of durations, as histograms.

use std::time::Duration;

/// A histogram. A value belongs to the bucket of the first bound that it does not exceed. The last bucket has the values above every bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    bounds: Vec<Duration>,
    counts: Vec<u64>,
}

impl Distribution {
    /// Creates a histogram of ascending `bounds` and one count more than bounds. Missing counts are zero, and excess counts are ignored.
    #[must_use]
    pub fn new(bounds: Vec<Duration>, mut counts: Vec<u64>) -> Self {
        counts.resize(bounds.len() + 1, 0);
        Self { bounds, counts }
    }

    /// Returns the values added since `earlier`, a histogram with the same bounds.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts =
            self.counts.iter().zip(&earlier.counts).map(|(now, earlier)| now.saturating_sub(*earlier));
        Self { bounds: self.bounds.clone(), counts: counts.collect() }
    }

    /// Estimates the value that a fraction `quantile` of all values, from 0 to 1, does not exceed. None if there is no value.
    ///
    /// Values are assumed to be distributed evenly within a bucket. The estimate for the last bucket is the last bound.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = quantile * to_float(total);
        let (mut below, mut lower) = (0, Duration::ZERO);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            if *count > 0 && to_float(below + count) >= rank {
                let part = (rank - to_float(below)) / to_float(*count);
                return Some(lower + bound.saturating_sub(lower).mul_f64(part.clamp(0.0, 1.0)));
            }
            below += count;
            lower = *bound;
        }
        Some(lower)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an error of one in 2^53 does not matter for an estimate")]
fn to_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn distribution(counts: &[u64]) -> Distribution {
        Distribution::new(vec![ms(10), ms(20), ms(100)], counts.to_vec())
    }

    #[test]
    fn quantile_is_interpolated_within_its_bucket() {
        let check = |counts: &[u64], share: f64, expected: Option<Duration>| {
            assert_eq!(distribution(counts).quantile(share), expected, "{counts:?} {share}");
        };
        check(&[], 0.5, None);
        check(&[10], 0.5, Some(ms(5)));
        check(&[10], 1.0, Some(ms(10)));
        check(&[0, 10], 0.5, Some(ms(15)));
        check(&[0, 10], 0.0, Some(ms(10)));
        check(&[50, 40, 10], 0.5, Some(ms(10)));
        check(&[50, 40, 10], 0.95, Some(ms(60)));
        check(&[0, 0, 0, 7], 0.5, Some(ms(100)));
        check(&[1, 0, 0, 1], 0.99, Some(ms(100)));
    }

    #[test]
    fn difference_has_only_later_values() {
        let (earlier, now) = (distribution(&[5, 1]), distribution(&[5, 3, 2]));
        assert_eq!(now.since(&earlier), distribution(&[0, 2, 2]));
        assert_eq!(earlier.since(&earlier).quantile(0.5), None);
    }
}
