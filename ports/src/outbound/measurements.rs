use domain::statistics::Statistics;

/// Reads the values of the metrics.
///
/// `obligations::measurements` tests the obligations of an implementation.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Measurements: Send + Sync {
    /// Returns the current values. Counting does not wait for it.
    fn statistics(&self) -> Statistics;
}
