//! The body of an open stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use ports::inbound::Subscription;

use super::queue::QueueReader;

/// Writes what comes into a queue, for as long as the client stays. Dropping it gives up the subscription.
pub(super) struct EventStreamBody {
    pub(super) queue: QueueReader,
    pub(super) _subscription: Subscription,
}

impl Body for EventStreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.queue.poll_next(context).map_ok(Frame::data)
    }
}
