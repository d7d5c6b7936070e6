//! When a silent stream needs a keepalive comment.

use std::time::{Duration, Instant};

/// The text of the comment.
pub const COMMENT: &str = "keepalive";

/// How long a stream may be silent before it gets a comment.
///
/// Proxies between the service and the browser may close connections that are silent for longer. WHATWG HTML, 9.2.7, recommends a comment
/// about every 15 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepalivePolicy {
    interval: Duration,
}

impl KeepalivePolicy {
    /// Creates a policy of one comment after each `interval` of silence. Returns none if the interval is zero.
    #[must_use]
    pub const fn every(interval: Duration) -> Option<Self> {
        if interval.is_zero() { None } else { Some(Self { interval }) }
    }

    /// Returns whether a stream that was last written to at `last_written` needs a comment at `now`.
    #[must_use]
    pub fn is_due(&self, last_written: Instant, now: Instant) -> bool {
        now.saturating_duration_since(last_written) >= self.interval
    }

    /// Returns the period of the sweep that finds silent streams. A sweep over all streams is cheaper than a timer for each.
    ///
    /// The period is a tenth of the interval and at most a second. A comment is late by at most one period.
    #[must_use]
    pub fn sweep_period(&self) -> Duration {
        (self.interval / 10).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_is_due_after_the_interval() {
        let policy = KeepalivePolicy::every(Duration::from_secs(30)).expect("not zero");
        let written = Instant::now();
        let check = |seconds: u64, expected: bool| {
            let now = written + Duration::from_secs(seconds);
            assert_eq!(policy.is_due(written, now), expected, "{seconds} s");
        };
        check(0, false);
        check(29, false);
        check(30, true);
        check(300, true);
        assert!(!policy.is_due(written + Duration::from_secs(1), written), "a time in the future");
    }

    #[test]
    fn sweep_period_is_a_tenth_of_the_interval() {
        let check = |interval: Duration, expected: Duration| {
            let policy = KeepalivePolicy::every(interval).expect("not zero");
            assert_eq!(policy.sweep_period(), expected);
        };
        check(Duration::from_millis(5), Duration::from_millis(1));
        check(Duration::from_secs(5), Duration::from_millis(500));
        check(Duration::from_secs(30), Duration::from_secs(1));
    }

    #[test]
    fn zero_interval_disables_keepalives() {
        assert_eq!(KeepalivePolicy::every(Duration::ZERO), None);
    }
}
