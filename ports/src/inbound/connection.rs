use std::{os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;

/// The connection that a stream is written to, as seen by the application.
///
/// No call blocks.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Connection: Send + Sync {
    /// Makes the connection call [`EventStream::take`](super::EventStream::take) as soon as it can be written to.
    ///
    /// Returns whether it can be written to at present, as far as that is known. If not, its client has to read first.
    fn wake(&self) -> bool;

    /// Announces the end of the stream and wakes the connection. From now on its client has a limited time to read the rest and to close.
    fn finish(&self);

    /// Suspends the connection, so that another process can continue it, and calls `on_suspended` once, possibly on another thread.
    ///
    /// A suspended connection takes and writes nothing until [`Connection::resume`]. `on_suspended` gets `None` if the connection is not
    /// suspended, because it is ending or only this process can write to it.
    fn suspend(self: Arc<Self>, on_suspended: OnSuspended);

    /// Continues a suspended connection. It takes and writes as before.
    fn resume(&self);

    /// Gives up a suspended connection, which another process has continued: the socket stays open, and nothing more is written to it.
    fn release(self: Arc<Self>);
}

/// Called with a suspended connection, or with `None` if it was not suspended.
pub type OnSuspended = Box<dyn FnOnce(Option<SuspendedConnection>) + Send>;

/// A connection as another process continues it. The response head was written.
#[derive(Debug)]
pub struct SuspendedConnection {
    /// Another descriptor of the socket.
    pub socket: OwnedFd,
    /// The bytes of the response that the kernel has not taken yet.
    pub unsent: Bytes,
    /// Whether the response uses chunked transfer coding.
    pub is_chunked: bool,
    /// The number of bytes that the client has sent after its request.
    pub excess_bytes: u32,
}
