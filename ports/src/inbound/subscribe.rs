use std::{sync::Arc, time::Duration};

use domain::{
    bookmark::RequestId,
    identity::Principal,
    language::{LanguagePriorityList, LanguageTag},
    log::EndReason,
    type_filter::TypeFilter,
};

use super::Connection;
use crate::Frame;

/// Opens event streams.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Subscribe: Send + Sync {
    /// Opens a stream of all events for the user, starting with the events that the client has missed. If they are no longer known, the
    /// first event is a gap. `connection` is woken whenever there is something to take.
    ///
    /// # Errors
    ///
    /// - [`SubscribeError::Stopping`] if the service is stopping;
    /// - [`SubscribeError::TooMany`] if the limit of all streams is reached;
    /// - [`SubscribeError::TooManyOfUser`] if the limit of the user's streams is reached.
    ///
    /// Each error has the time after which the client may retry.
    fn subscribe(
        &self,
        request: StreamRequest,
        connection: Arc<dyn Connection>,
    ) -> Result<Subscription, SubscribeError>;
}

/// A request for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// The user, and how long the user's token is valid.
    pub principal: Principal,
    /// The id of the client's last event, as the client sends it (WHATWG HTML, 9.2.4). It may be any text.
    pub last_event_id: Option<String>,
    /// The id of the request, if the client sent one. Without a `last_event_id` it selects the stream to continue.
    pub request: Option<RequestId>,
    /// The languages that the request prefers.
    pub accept_language: Option<LanguagePriorityList>,
    /// The types of events that the client asks for. None for all.
    pub types: Option<TypeFilter>,
}

/// A stream that was opened.
pub struct Subscription {
    /// The most preferred language of the stream when it is opened.
    pub language: LanguageTag,
    /// The stream that the connection takes from.
    pub stream: Box<dyn EventStream>,
}

/// An open stream, as seen by its connection.
///
/// Obligations of the connection:
/// - it calls [`EventStream::take`] once after it has received the stream, and again after each [`Connection::wake`], as soon as it can be
///   written to. Reading from NATS pauses for a few milliseconds for connections that were woken and could be written to;
/// - it writes the frames in order and without gaps, and drops each frame once it is written. A frame shares its memory with the log and
///   with other streams, so a frame that is kept is memory that no limit of the log counts;
/// - it calls `take` again only when all frames of the previous call are written;
/// - it drops the stream when the client is gone, and after the last frame. Dropping closes the stream with [`EndReason::Client`], unless
///   it has ended or was closed for another reason. Frames that were taken cannot be returned: a client that has lost some gets them by
///   reconnecting.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait EventStream: Send + Sync {
    /// Takes the next frames, up to a limited number of bytes or one larger event. It does not block.
    fn take(&mut self) -> Taken;

    /// Closes the stream for a `reason`, unless it has ended for another one. Returns the recorded reason, or none if the stream was closed
    /// before.
    fn close(&mut self, reason: EndReason) -> Option<EndReason>;
}

/// The frames that a connection has taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The first frame to write. None if there is nothing to write at present; the connection is woken when there is.
    pub first: Option<Frame>,
    /// The frames to write after it.
    pub rest: Vec<Frame>,
    /// The number of events among the frames.
    pub events: u64,
    /// Whether the stream ends after these frames.
    pub is_last: bool,
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping {
        /// The time after which the client may retry.
        retry_after: Duration,
    },
    /// The limit of all streams is reached.
    #[error("this instance has reached its limit of open streams")]
    TooMany {
        /// The time after which the client may retry.
        retry_after: Duration,
    },
    /// The limit of the user's streams is reached.
    #[error("this user has reached the limit of open streams")]
    TooManyOfUser {
        /// The time after which the client may retry.
        retry_after: Duration,
    },
}
