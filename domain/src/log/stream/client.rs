//! The client of a stream, as it is recognized when it returns and when it logs out.

use std::time::Instant;

use super::late::LateWindow;
use crate::{bookmark::RequestId, identity::SessionId, notification::EventId};

/// The ids by which a client is recognized. They share an allocation, so that each open stream has one pointer instead of two.
#[derive(Debug)]
pub(super) struct Client {
    /// None if the client sent no request id.
    pub(super) resumable: Option<Resumable>,
    /// The session at the identity provider in which the stream was opened. None if it is unknown.
    pub(super) session_id: Option<Box<SessionId>>,
}

impl Client {
    /// Returns the client. None if there is nothing to recognize it by.
    pub(super) fn new(resumable: Option<Resumable>, session_id: Option<Box<SessionId>>) -> Option<Box<Self>> {
        let is_known = resumable.is_some() || session_id.is_some();
        is_known.then(|| Box::new(Self { resumable, session_id }))
    }
}

/// The state of a client that sends a request id. The id identifies such a client when it cannot name its last event.
#[derive(Debug)]
pub struct Resumable {
    /// The id of the request that opened the stream.
    pub request: RequestId,
    /// When the stream was opened.
    pub(in crate::log) opened: Instant,
    /// The event after which the stream starts. The client needs nothing up to it. None until it is known where the stream starts.
    pub(in crate::log) start_after: Option<EventId>,
    /// The last logout that has already ended a stream of this client. It ends no other.
    pub(in crate::log) logged_out: Option<EventId>,
    /// The events that the stream has taken late. None for most streams.
    pub(in crate::log) late: Option<Box<LateWindow>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next larger size class of the allocator would cost each stream of such a client.
    #[test]
    fn client_takes_little_memory() {
        assert!(size_of::<Client>() <= 80);
    }
}
