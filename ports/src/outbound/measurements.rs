use domain::distribution::Distribution;

use super::EndReason;

/// What has been counted, to be read by whoever looks inside.
///
/// What implementations are obliged to is tested by `obligations::measurements`.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Measurements: Send + Sync {
    /// All counts, as they stand. Nobody who counts waits for it.
    fn statistics(&self) -> Statistics;
}

/// What is open now, and what has been counted since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// How many streams are open …
    pub streams: u64,
    /// … and of how many users.
    pub users: u64,
    /// Streams that were opened.
    pub opened: u64,
    /// Streams that have ended, by reason.
    pub ended: Vec<(EndReason, u64)>,
    /// Events that came from the bus and were for us.
    pub events: u64,
    /// Events that open streams were to take.
    pub deliveries: u64,
    /// How long events took, from NATS taking them to the last of their streams taking them for its write.
    pub latency: Distribution,
    /// Whether the bus is being read.
    pub nats_connected: bool,
    /// How many messages stood on the bus behind the last one that was read.
    pub nats_lag: u64,
}
