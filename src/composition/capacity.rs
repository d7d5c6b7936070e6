//! The division of the process's file descriptors.

use crate::configuration::Count;

/// File descriptors that are not available to clients of the endpoint: for NATS, the registry, the log, certificates and the debug server.
const RESERVED_DESCRIPTORS: usize = 128;
/// Maximum number of connections of the debug server. They are part of the reserve.
const MAX_DEBUG_CONNECTIONS: usize = 32;
/// One connection in this many is reserved for requests that open no stream, such as rejected ones.
const PART_FOR_REQUESTS: usize = 32;

/// The limits of connections and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Maximum number of connections of the endpoint.
    pub(super) connections: usize,
    /// Maximum number of connections of the debug server.
    pub(super) debug_connections: usize,
    /// Maximum number of streams.
    pub(super) streams: usize,
}

impl Capacity {
    /// Divides the file descriptors of the process, whose limit is `descriptors`, if there is one. `streams` is the configured number of
    /// streams; without it, there may be as many streams as there are descriptors for.
    pub(super) fn of(descriptors: Option<u64>, streams: Option<Count>) -> Self {
        let descriptors = descriptors.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let available = descriptors - RESERVED_DESCRIPTORS.min(descriptors / 2);
        let for_requests = |streams: usize| streams / PART_FOR_REQUESTS + 1;
        let streams =
            streams.map_or_else(|| available.saturating_sub(for_requests(available)), |streams| streams.0);
        Self {
            connections: available.min(streams.saturating_add(RESERVED_DESCRIPTORS + for_requests(streams))),
            debug_connections: MAX_DEBUG_CONNECTIONS.min(descriptors / 8),
            streams,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_connections_and_streams_leave_a_reserve() {
        let check = |descriptors, configured: Option<usize>, connections, debug_connections, streams| {
            let expected = Capacity { connections, debug_connections, streams };
            assert_eq!(
                Capacity::of(descriptors, configured.map(Count)),
                expected,
                "{descriptors:?} {configured:?}"
            );
        };
        check(Some(20_000), None, 19_872, 32, 19_250);
        check(Some(20_000), Some(1_000), 1_160, 32, 1_000);
        check(Some(20_000), Some(1), 130, 32, 1);
        // With HTTP/2 there may be more streams than connections.
        check(Some(1_024), Some(5_000), 896, 32, 5_000);
        check(Some(400), None, 272, 32, 263);
        check(Some(64), None, 32, 8, 30);
        check(Some(0), None, 0, 0, 0);
        let unlimited = Capacity::of(None, None);
        assert!(unlimited.streams > 1_000_000 && unlimited.connections > unlimited.streams);
    }
}
