//! The clocks of the machine. No other module reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ports::outbound::Clock;

/// The clocks of the machine. In tests with a paused runtime, the monotonic clock is that of the runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ports::obligations;

    use super::*;

    #[tokio::test]
    async fn meets_the_obligations_of_its_port() {
        let tested = obligations::clock(&SystemClock, tokio::task::yield_now);
        tokio::time::timeout(Duration::from_mins(1), tested).await.expect("in time");
    }
}
