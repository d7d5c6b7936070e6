//! The delay between attempts to connect to NATS and to subscribe.

use std::time::Duration;

use rand::RngExt as _;

/// Delay after the first failed attempt.
const MIN_DELAY: Duration = Duration::from_millis(50);
/// Longest delay between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(4);

/// Returns the delay after this number of failed attempts. It doubles with each attempt up to [`MAX_DELAY`]. Half of it is random, so that
/// many clients do not reconnect at the same time.
pub(super) fn delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    let full = (MIN_DELAY * 2_u32.pow(doublings)).min(MAX_DELAY);
    full.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_up_to_the_limit_with_jitter() {
        let check = |attempts: usize, full: Duration| {
            let delays: Vec<_> = (0..200).map(|_| delay(attempts)).collect();
            assert!(delays.iter().all(|delay| (full / 2..=full).contains(delay)), "{attempts}: {delays:?}");
            assert!(delays.iter().any(|delay| *delay != delays[0]), "{attempts}");
        };
        check(0, MIN_DELAY);
        check(1, MIN_DELAY);
        check(3, MIN_DELAY * 4);
        check(8, MAX_DELAY);
        check(usize::MAX, MAX_DELAY);
    }
}
