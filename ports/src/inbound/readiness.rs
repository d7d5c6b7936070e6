/// The readiness of this instance.
pub trait Readiness: Send + Sync {
    /// Checks that the platform's proxy finds this instance, that new streams are accepted, and that events reach them.
    ///
    /// # Errors
    ///
    /// Returns the reason why one of these is not the case, for an administrator.
    fn check(&self) -> Result<(), NotReady>;
}

/// Why this instance is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The instance has not subscribed to NATS yet.
    #[error("starting: not yet subscribed to NATS")]
    Starting,
    /// The instance cannot read from NATS at present.
    #[error("NATS cannot be read: {reason}")]
    Interrupted {
        /// The cause, for an administrator.
        reason: String,
    },
    /// The instance reads more slowly than others publish.
    #[error("{messages} messages wait in NATS to be read")]
    Lagging {
        /// The number of messages that wait to be read.
        messages: u64,
    },
    /// The platform's proxy cannot find the instance.
    #[error("the service registry has no entry of this instance: {reason}")]
    NotAnnounced {
        /// The cause, for an administrator.
        reason: String,
    },
    /// The instance is stopping.
    #[error("stopping")]
    Stopping,
}
