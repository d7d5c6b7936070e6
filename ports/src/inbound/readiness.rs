/// Whether this instance does its work.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Readiness: Send + Sync {
    /// Whether the platform's proxy finds this instance, new streams are accepted, and what is published reaches them.
    ///
    /// # Errors
    ///
    /// The reason why not, for an administrator.
    fn check(&self) -> Result<(), NotReady>;
}

/// Why this instance does not do its work at present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It has not yet read from the bus.
    #[error("starting: not yet subscribed to the bus")]
    Starting,
    /// It cannot read from the bus at present.
    #[error("the bus cannot be read: {reason}")]
    Interrupted {
        /// What stands in the way.
        reason: String,
    },
    /// It reads more slowly than others publish.
    #[error("{messages} messages wait on the bus to be read")]
    Lagging {
        /// How many wait.
        messages: u64,
    },
    /// The platform's proxy cannot find it.
    #[error("the service registry has no entry of this instance: {reason}")]
    NotAnnounced {
        /// What stands in the way.
        reason: String,
    },
    /// It is about to end.
    #[error("stopping")]
    Stopping,
}
