//! The response body of an open stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use ports::{
    inbound::{EventStream, Taken},
    outbound::EndReason,
};

use super::access_log::StreamLog;
use crate::http_server::ConnectionHandle;

/// A body with the frames that a stream takes from the log. Dropping it closes the stream.
pub(super) struct EventStreamBody {
    stream: Box<dyn EventStream>,
    handle: ConnectionHandle,
    /// Boxed, because most open streams have none.
    extra: Option<Box<Extra>>,
}

/// The state of a stream that has more frames to write, has ended, or logs its end.
#[derive(Default)]
struct Extra {
    /// The frames that were taken but not polled yet.
    rest: vec::IntoIter<Bytes>,
    /// Whether the last frames were taken.
    has_ended: bool,
    log: Option<StreamLog>,
}

impl EventStreamBody {
    pub(super) fn new(
        stream: Box<dyn EventStream>,
        handle: ConnectionHandle,
        log: Option<StreamLog>,
    ) -> Self {
        // A new stream has an opening frame.
        handle.set_pending(true);
        let extra = log.map(|log| Box::new(Extra { log: Some(log), ..Extra::default() }));
        Self { stream, handle, extra }
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(extra) = &mut self.extra {
            match extra.rest.next() {
                None if extra.has_ended => return Poll::Ready(None),
                None => {}
                next => return Poll::Ready(next),
            }
        }
        // This comes before the take, so that an event after the take wakes the connection.
        self.handle.register(context);
        self.handle.set_pending(false);
        let Taken { first, rest, is_last } = self.stream.take();
        if is_last || !rest.is_empty() {
            let extra = self.extra.get_or_insert_default();
            extra.rest = rest.into_iter();
            extra.has_ended = is_last;
        } else if self.extra.as_ref().is_some_and(|extra| extra.log.is_none()) {
            self.extra = None;
        }
        match first {
            None if !is_last => Poll::Pending,
            first => Poll::Ready(first),
        }
    }
}

impl Drop for EventStreamBody {
    fn drop(&mut self) {
        if self.handle.has_timed_out() {
            self.stream.close(EndReason::Slow);
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
        let next = self.poll_next(context);
        if let (Poll::Ready(Some(frame)), Some(extra)) = (&next, &mut self.extra)
            && let Some(log) = &mut extra.log
        {
            log.bytes += frame.len() as u64;
        }
        next.map(|frame| frame.map(|frame| Ok(Frame::data(frame))))
    }
}

/// Each open stream has one, in an allocation of its own.
#[test]
fn body_takes_little_memory() {
    assert!(size_of::<EventStreamBody>() <= 32);
}
