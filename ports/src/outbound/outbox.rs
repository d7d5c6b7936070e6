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

    /// As [`Outbox::offer`], for what a client has missed. It fills but a small part of what a stream may have waiting, and
    /// only while all streams together leave ample room: nobody's live events are refused for it.
    fn replay(&self, frame: &Frame, now: Instant) -> Offer;

    /// Waits until a queue that has refused a frame has room again, or its stream is gone.
    ///
    /// To be called by one waiter at a time. A call that is dropped before it is ready loses nothing. After a refused
    /// replay it may also be another stream that has to make room, which is not waited for here.
    async fn room(&self);

    /// For how long something has waited to be written and nothing at all was taken by the client's line; zero when nothing
    /// waits.
    fn stalled(&self, now: Instant) -> Duration;

    /// Since when something has been waiting in the queue; none when it is empty. After its end: when that began.
    fn unwritten_since(&self) -> Option<Instant>;

    /// Ends the stream; every further offer is answered [`Offer::Gone`]. Only the first call has an effect.
    ///
    /// [`EndReason::Slow`] drops what waits and cuts the line, because the client does not read; every other reason writes
    /// what waits and then `last`, whatever the limits, and ends the body cleanly.
    fn end(&self, reason: EndReason, last: Option<Frame>);
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
    /// The token that opened it has expired.
    Expired,
    /// The user has logged out.
    Logout,
    /// It has reached the age at which streams are ended.
    OldAge,
    /// An administrator has ended it.
    Administrator,
    /// The service is about to end.
    Stopping,
}
