/// Counts the connections and requests of one HTTP server. No call blocks or fails.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait HttpMetrics: Send + Sync {
    /// A connection was accepted; now `open` are open.
    fn connection_accepted(&self, open: usize);

    /// A connection was closed; now `open` are open.
    fn connection_closed(&self, open: usize);

    /// So many connections without a request were closed to make room for others.
    fn connections_evicted(&self, connections: usize);

    /// A TLS handshake failed.
    fn handshake_failed(&self);

    /// A connection was closed because no complete request came in time.
    fn request_timed_out(&self);

    /// A connection or an HTTP/2 stream was cut because its client did not take what was written to it in time.
    fn write_timed_out(&self);

    /// A request to `route`, one of a fixed set, was answered with `status`.
    fn answered(&self, route: &'static str, status: u16);
}
