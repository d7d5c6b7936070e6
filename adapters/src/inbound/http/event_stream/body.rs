//! The response body of an open stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use domain::log::EndReason;
use http_body::{Body, Frame};
use ports::inbound::{EventStream, Taken};

use crate::http_server::ConnectionHandle;
use crate::inbound::http::middleware::AuditEntry;

/// A body with the frames that a stream takes from the log. Dropping it closes the stream.
pub(in crate::inbound::http) struct EventStreamBody {
    stream: Box<dyn EventStream>,
    handle: ConnectionHandle,
    /// Boxed, because most open streams have none.
    state: Option<Box<StreamState>>,
}

/// The state of a stream that has more frames to write, has ended, or is in the audit log.
#[derive(Default)]
struct StreamState {
    /// The frames that were taken but not polled yet.
    rest: vec::IntoIter<Bytes>,
    /// Whether the last frames were taken.
    has_ended: bool,
    audit: Option<AuditEntry>,
}

impl EventStreamBody {
    pub(in crate::inbound::http) fn new(
        stream: Box<dyn EventStream>,
        handle: ConnectionHandle,
        audit: Option<AuditEntry>,
    ) -> Self {
        // A new stream has an opening frame.
        handle.set_pending(true);
        let state = audit.map(|audit| Box::new(StreamState { audit: Some(audit), ..StreamState::default() }));
        Self { stream, handle, state }
    }

    /// Returns the body for a response.
    pub(in crate::inbound::http) fn into_body(self) -> poem::Body {
        poem::Body::from(http_body_util::combinators::BoxBody::new(self))
    }

    fn audit(&mut self) -> Option<&mut AuditEntry> {
        self.state.as_mut()?.audit.as_mut()
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(state) = &mut self.state {
            match state.rest.next() {
                None if state.has_ended => return Poll::Ready(None),
                None => {}
                next => return Poll::Ready(next),
            }
        }
        // What the stream has not taken yet, another process takes.
        if self.handle.is_suspended() {
            return Poll::Pending;
        }
        // This comes before the take, so that an event after the take wakes the connection.
        self.handle.register(context);
        self.handle.set_pending(false);
        let Taken { first, rest, events, is_last } = self.stream.take();
        if let Some(audit) = self.audit() {
            audit.events += events;
        }
        if is_last || !rest.is_empty() {
            let state = self.state.get_or_insert_default();
            state.rest = rest.into_iter();
            state.has_ended = is_last;
        } else if self.state.as_ref().is_some_and(|state| state.audit.is_none()) {
            self.state = None;
        }
        match first {
            None if !is_last => Poll::Pending,
            first => Poll::Ready(first),
        }
    }
}

impl Drop for EventStreamBody {
    fn drop(&mut self) {
        let reason = if self.handle.is_released() {
            EndReason::HandedOver
        } else if self.handle.has_timed_out() {
            EndReason::WriteTimeout
        } else {
            EndReason::Client
        };
        let recorded = self.stream.close(reason);
        if let (Some(audit), Some(reason)) = (self.audit(), recorded) {
            audit.ended(reason);
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
        if let (Poll::Ready(Some(frame)), Some(audit)) = (&next, self.audit()) {
            audit.bytes += frame.len() as u64;
        }
        next.map(|frame| frame.map(|frame| Ok(Frame::data(frame))))
    }
}

/// Each open stream has one, in an allocation of its own.
#[test]
fn body_takes_little_memory() {
    assert!(size_of::<EventStreamBody>() <= 32);
}
