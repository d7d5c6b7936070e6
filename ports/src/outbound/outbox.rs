use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::Frame;

/// The bounded queue of one stream, as seen by the one who fills it.
///
/// Frames leave it in the order in which they were accepted.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes the frame or refuses it, at once. An empty queue takes a frame of any size. `now` is the present time.
    fn offer(&self, frame: &Frame, now: Instant) -> Offer;

    /// Waits until a queue that has refused a frame has room again, or its stream is gone.
    ///
    /// To be called by one waiter at a time. A call that is dropped before it is ready loses nothing.
    async fn room(&self);

    /// Ends the stream; every further offer is answered [`Offer::Gone`]. Only the first call has an effect.
    ///
    /// [`EndReason::Slow`] drops what waits and cuts the line, because the client does not read; every other reason writes
    /// what waits and then ends the body cleanly.
    fn end(&self, reason: EndReason);
}

/// The answer to an offered frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The frame will be written.
    Accepted,
    /// There is no room for it at present.
    Full {
        /// For how long nothing at all has left the queue, as far as offers could see; zero while its client could not
        /// have done anything about it.
        stalled: Duration,
    },
    /// The stream has ended.
    Gone,
}

/// Why a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client has gone.
    Client,
    /// The client did not read what was written to it.
    Slow,
    /// The service is about to end.
    Stopping,
}
