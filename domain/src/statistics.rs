//! The figures that an administrator sees.

use crate::{distribution::Distribution, log::EndReason};

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
    /// The number of deliveries: one for each event and each open stream that had to take it.
    pub deliveries: u64,
    /// The time from NATS storing an event to the last of its streams taking it.
    pub latency: Distribution,
    /// Whether NATS is being read.
    pub nats_connected: bool,
    /// The number of messages on NATS after the last one that was read.
    pub nats_lag: u64,
}
