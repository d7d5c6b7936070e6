/// The connection that a stream is written to, as seen by whoever knows that there is something to write.
///
/// No call blocks.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Connection: Send + Sync {
    /// Has the connection take what is next ([`EventStream::take`](crate::inbound::EventStream::take)), as soon as it can be written to. True when
    /// it can be at present, as far as is known; else its client has to act first.
    fn wake(&self) -> bool;

    /// The stream is about to end: its client has a limited time to take what is left and to close. The connection is woken as well.
    fn finish(&self);
}
