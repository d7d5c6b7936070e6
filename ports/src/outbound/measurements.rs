use domain::distribution::Distribution;

use super::EndReason;

/// Reads the values of the metrics.
///
/// `obligations::measurements` tests the obligations of an implementation.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Measurements: Send + Sync {
    /// Returns the current values. Counting does not wait for it.
    fn statistics(&self) -> Statistics;
}

/// The current figures, and those accumulated since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The number of open streams.
    pub streams: u64,
    /// The number of users with an open stream.
    pub users: u64,
    /// The number of streams that were opened.
    pub opened: u64,
    /// The number of streams that have ended, by reason.
    pub ended: Vec<(EndReason, u64)>,
    /// The number of events that were received from NATS for this service.
    pub events: u64,
    /// The number of deliveries: events times the open streams that had to take them.
    pub deliveries: u64,
    /// The time from NATS storing an event to the last of its streams taking it.
    pub latency: Distribution,
    /// Whether NATS is being read.
    pub nats_connected: bool,
    /// The number of messages on NATS after the last one that was read.
    pub nats_lag: u64,
}
