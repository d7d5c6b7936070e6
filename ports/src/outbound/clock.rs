use std::time::{Duration, Instant};

/// The clocks of the machine.
///
/// `obligations::clock` tests the obligations of an implementation.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// Returns the time on the monotonic clock. It never goes back, and setting the wall clock does not affect it.
    fn now(&self) -> Instant;

    /// Returns the wall clock, as the time since 1970 (RFC 7519, 2, `NumericDate`). It may go back, so it is only for comparison with times
    /// of other machines.
    fn unix_time(&self) -> Duration;
}
