use std::{sync::Arc, time::Duration};

use domain::{
    bookmark::RequestId,
    identity::Principal,
    language::{LanguagePriorityList, LanguageTag},
};

use crate::outbound::{Connection, EndReason, Frame};

/// Opens streams.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Subscribe: Send + Sync {
    /// Opens a stream with every event for the user, beginning with what its client has missed. Where that is no longer known, the first
    /// event says so. Whenever there is something to take, `connection` is woken.
    ///
    /// # Errors
    ///
    /// - [`SubscribeError::Stopping`]: the service is about to end;
    /// - [`SubscribeError::TooMany`]: as many streams are open as may be;
    /// - [`SubscribeError::TooManyOfUser`]: the user has as many open as one may have.
    ///
    /// Each says when to come back.
    fn subscribe(
        &self,
        request: StreamRequest,
        connection: Arc<dyn Connection>,
    ) -> Result<Subscription, SubscribeError>;
}

/// Who asks for a stream, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Whose events, and until when.
    pub principal: Principal,
    /// The id of the last event that the client has had, as it says (WHATWG HTML, 9.2.4): any text.
    pub last_event_id: Option<String>,
    /// The id of the request, when the client has chosen it. Without a `last_event_id` it tells which stream is continued.
    pub request: Option<RequestId>,
    /// The languages that it asks for, if it does.
    pub accept_language: Option<LanguagePriorityList>,
}

/// An open stream.
pub struct Subscription {
    /// The language that is preferred on the stream as it begins.
    pub language: LanguageTag,
    /// What the connection takes from.
    pub stream: Box<dyn EventStream>,
}

/// An open stream, as seen by its connection. Dropping it closes the stream, because the client has gone.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait EventStream: Send + Sync {
    /// Takes what is next, up to a limited number of bytes. A connection calls it when it can write, and writes what it has taken before it
    /// calls again.
    fn take(&mut self) -> Taken;

    /// Closes the stream for a `reason`; only the first call has an effect.
    fn close(&mut self, reason: EndReason);
}

/// What a connection has taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What is to be written first. When there is nothing, the connection is woken as soon as there is.
    pub first: Option<Frame>,
    /// What is to be written behind it.
    pub rest: Vec<Frame>,
    /// Whether the stream ends behind that.
    pub is_last: bool,
}

/// Why a stream was not opened, although the user may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The service is about to end.
    #[error("the service is stopping")]
    Stopping {
        /// When to come back.
        retry_after: Duration,
    },
    /// No further stream may be open.
    #[error("as many streams are open as this instance may have")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
    /// No further stream of this user may be open.
    #[error("this user has as many streams open as one user may have")]
    TooManyOfUser {
        /// When to come back.
        retry_after: Duration,
    },
}
