use std::time::Instant;

/// Tells the time.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// The time on a clock that never goes back, whatever happens to the wall clock.
    fn now(&self) -> Instant;
}
