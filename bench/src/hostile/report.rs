//! The report of hostile connections.

use std::fmt;

use serde::Serialize;

/// The results of the connections, of ordinary requests meanwhile, and of the server.
#[derive(Serialize)]
pub(crate) struct HostileReport {
    pub(crate) kind: String,
    /// The requested number.
    pub(crate) connections: usize,
    pub(crate) opened: usize,
    /// The maximum number of open connections.
    pub(crate) held: usize,
    /// Closed by the server.
    pub(crate) closed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closed_after: Option<ClosedAfter>,
    /// The time from the first opening until the server had closed all connections, in seconds; `None` if it had not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) released_after: Option<f64>,
    pub(crate) ordinary_requests: u64,
    pub(crate) failed_requests: u64,
    /// In microseconds.
    pub(crate) slowest_request: u64,
    /// The slowest request before the connections were opened, in microseconds.
    pub(crate) slowest_request_before: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerUsage>,
}

/// The time from the opening of a connection until the server closed it, in seconds.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct ClosedAfter {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// The server's usage.
#[derive(Serialize)]
pub(crate) struct ServerUsage {
    /// The maximum, less that before the connections, in KiB.
    pub(crate) memory_of_a_connection: f64,
    /// In microseconds.
    pub(crate) cpu_of_a_connection: f64,
    /// Resident, in MiB.
    pub(crate) memory: Phases<f64>,
    pub(crate) descriptors: Phases<usize>,
}

/// Values before the first connection, the maximum while they were open, and two seconds after the last one.
#[derive(Serialize)]
pub(crate) struct Phases<T> {
    pub(crate) before: T,
    pub(crate) peak: T,
    pub(crate) after: T,
}

impl HostileReport {
    /// Returns whether all ordinary requests got the expected responses.
    pub(crate) fn is_complete(&self) -> bool {
        self.failed_requests == 0
    }
}

impl fmt::Display for HostileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, connections, opened, held, closed, .. } = self;
        let milliseconds = |microseconds: u64| microseconds as f64 / 1000.0;
        writeln!(f, "connections    {opened} of {connections}, {kind}; {held} at a time, at most")?;
        write!(f, "closed         {closed} by the server")?;
        if let Some(ClosedAfter { min, median, max }) = self.closed_after {
            write!(f, ", after {min:.1} to {max:.1} s, median {median:.1} s")?;
        }
        writeln!(f)?;
        if let Some(released) = self.released_after {
            writeln!(f, "released       after {released:.1} s")?;
        }
        let (slowest, before) =
            (milliseconds(self.slowest_request), milliseconds(self.slowest_request_before));
        let Self { ordinary_requests, failed_requests, .. } = self;
        writeln!(f, "ordinary       {ordinary_requests} requests, {failed_requests} of them failed")?;
        writeln!(f, "slowest        {slowest:.1} ms, {before:.1} ms before")?;
        if let Some(ServerUsage { memory_of_a_connection, cpu_of_a_connection, memory, descriptors }) =
            &self.server
        {
            writeln!(f, "memory         {memory_of_a_connection:.2} KiB a connection, at most")?;
            let Phases { before, peak, after } = memory;
            writeln!(f, "               {before:.1} MiB before, {peak:.1} at most, {after:.1} after")?;
            writeln!(f, "CPU            {cpu_of_a_connection:.1} µs a connection")?;
            let Phases { before, peak, after } = descriptors;
            writeln!(f, "descriptors    {before} before, {peak} at most, {after} after")?;
        }
        Ok(())
    }
}
