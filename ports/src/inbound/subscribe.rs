use std::sync::Arc;

use domain::identity::UserId;

use crate::outbound::Outbox;

/// Opens streams.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Subscribe: Send + Sync {
    /// From now on, and until the subscription is dropped, `outbox` is offered every event for `user`.
    ///
    /// # Errors
    ///
    /// [`Refused::Stopping`]: the service is about to end; the client should come back in a few seconds.
    fn subscribe(&self, user: &UserId, outbox: Arc<dyn Outbox>) -> Result<Subscription, Refused>;
}

/// A stream's place among those that are offered events. Dropping it gives the place up.
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    leave: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Subscription {
    /// A subscription that calls `leave` when it is dropped.
    pub fn new(leave: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { leave: Some(Box::new(leave)) }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            leave();
        }
    }
}

/// Why a stream was not opened, although the user may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The service is about to end.
    #[error("the service is stopping")]
    Stopping,
}
