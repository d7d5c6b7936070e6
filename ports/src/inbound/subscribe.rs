use std::{sync::Arc, time::Duration};

use domain::{
    bookmark::RequestId,
    identity::Principal,
    language::{LanguagePriorityList, LanguageTag},
};

use crate::outbound::{EndReason, Outbox};

/// Opens streams.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Subscribe: Send + Sync {
    /// From now on, and until the subscription is dropped, `outbox` is offered every event for the user, beginning with what
    /// its client has missed. Where that is no longer known, the first event says so.
    ///
    /// # Errors
    ///
    /// - [`Refused::Stopping`]: the service is about to end;
    /// - [`Refused::TooMany`]: as many streams are open as may be;
    /// - [`Refused::TooManyOfUser`]: the user has as many open as one may have.
    ///
    /// Each says when to come back.
    fn subscribe(&self, request: StreamRequest, outbox: Arc<dyn Outbox>) -> Result<Subscription, Refused>;
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
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    /// The language that is wished most on the stream as it begins.
    pub language: LanguageTag,
    /// Its place among those that are offered events.
    pub membership: Membership,
}

/// A stream's place among those that are offered events. Dropping it gives the place up, because the client has gone.
#[must_use = "dropping the membership ends it"]
pub struct Membership {
    leave: Option<Box<dyn FnOnce(EndReason) + Send + Sync>>,
}

impl Membership {
    /// A membership that calls `leave` with the reason of its end.
    pub fn new(leave: impl FnOnce(EndReason) + Send + Sync + 'static) -> Self {
        Self { leave: Some(Box::new(leave)) }
    }

    /// Gives the place up for a `reason`; only the first call has an effect.
    pub fn leave(&mut self, reason: EndReason) {
        if let Some(leave) = self.leave.take() {
            leave(reason);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave(EndReason::Client);
    }
}

/// Why a stream was not opened, although the user may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
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
