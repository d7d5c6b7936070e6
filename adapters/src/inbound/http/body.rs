//! The body of an open stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use ports::{inbound::Membership, outbound::EndReason};

use super::{access_log::StreamLog, queue::QueueReader};

/// Writes what comes into a queue, for as long as the client stays. Dropping it gives up the stream's place.
pub(super) struct EventStreamBody {
    pub(super) queue: QueueReader,
    pub(super) membership: Membership,
    pub(super) log: Option<Box<StreamLog>>,
}

impl Drop for EventStreamBody {
    fn drop(&mut self) {
        if self.queue.is_overdue() {
            self.membership.leave(EndReason::Slow);
        }
    }
}

impl Body for EventStreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = self.queue.poll_next(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(log) = &mut self.log
        {
            log.bytes += frame.len() as u64;
        }
        frame.map_ok(Frame::data)
    }
}
