use std::time::{Duration, Instant};

/// Tells the time.
///
/// What implementations are obliged to is tested by `obligations::clock`.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// The time on a clock that never goes back, and goes on at the same pace whatever happens to the wall clock.
    fn now(&self) -> Instant;

    /// What the wall clock says, as the time since 1970 (RFC 7519, 2, `NumericDate`). For comparing with what other
    /// machines have written down, and nothing else: it may go back.
    fn unix_time(&self) -> Duration;
}
