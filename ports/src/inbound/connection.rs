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
}
