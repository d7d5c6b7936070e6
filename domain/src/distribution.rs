//! How values are distributed: how many fell between which bounds.

use std::time::Duration;

/// Counts of values by size. A value counts where it is no greater than the bound and greater than the one before; what is greater
/// than every bound counts last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    bounds: Vec<Duration>,
    counts: Vec<u64>,
}

impl Distribution {
    /// `bounds` rise, and there is one count more than there are bounds; what is missing is zero, and what is too much is left out.
    #[must_use]
    pub fn new(bounds: Vec<Duration>, mut counts: Vec<u64>) -> Self {
        counts.resize(bounds.len() + 1, 0);
        Self { bounds, counts }
    }

    /// What has been counted since `earlier`, which has the same bounds.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then));
        Self { bounds: self.bounds.clone(), counts: counts.collect() }
    }

    /// Which value so great a `share` of all do not exceed, about: within its bounds the values count as spread evenly, and
    /// beyond the last bound nothing is known. None when there is no value.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = share * as_number(total);
        let (mut below, mut lower) = (0, Duration::ZERO);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            if *count > 0 && as_number(below + count) >= rank {
                let part = (rank - as_number(below)) / as_number(*count);
                return Some(lower + bound.saturating_sub(lower).mul_f64(part.clamp(0.0, 1.0)));
            }
            below += count;
            lower = *bound;
        }
        Some(lower)
    }
}

#[expect(clippy::cast_precision_loss, reason = "of so many values one more or less is nothing")]
fn as_number(count: u64) -> f64 {
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
        let (then, now) = (distribution(&[5, 1]), distribution(&[5, 3, 2]));
        assert_eq!(now.since(&then), distribution(&[0, 2, 2]));
        assert_eq!(then.since(&then).quantile(0.5), None);
    }
}
