/// Metrics of the connections and requests of one HTTP server. No call blocks or fails.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait HttpMetrics: Send + Sync {
    /// Counts an accepted connection. `open` connections are open now.
    fn connection_accepted(&self, open: usize);

    /// Counts a closed connection. `open` connections are open now.
    fn connection_closed(&self, open: usize);

    /// Counts connections without a request that were closed to make room for others.
    fn connections_evicted(&self, connections: usize);

    /// Counts a failed TLS handshake.
    fn handshake_failed(&self);

    /// Counts a connection that was closed because no complete request arrived in time.
    fn request_timed_out(&self);

    /// Counts a connection or an HTTP/2 stream that was cut because its client did not read in time.
    fn write_timed_out(&self);

    /// Counts a request to `route`, one of a fixed set, that was answered with `status`.
    fn answered(&self, route: &'static str, status: u16);
}
