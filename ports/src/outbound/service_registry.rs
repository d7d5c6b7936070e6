use std::time::Duration;

use async_trait::async_trait;

/// Where others find this instance.
///
/// What implementations are obliged to is tested by `obligations::service_registry`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ServiceRegistry: Send + Sync {
    /// Puts this instance's entry there, or renews it. Answers how long the entry holds: one that is not renewed within that time disappears.
    ///
    /// # Errors
    ///
    /// The registry cannot be reached; to be tried again.
    async fn announce(&self) -> Result<Duration, RegistryUnavailable>;

    /// Waits until the registry is another one than when the entry was last put, or tried to be put: the connection is lost or there again, or
    /// the registry was recreated. The entry may be gone.
    async fn changed(&self);

    /// Takes the entry away, if there is one, so that nobody is sent here any more.
    ///
    /// # Errors
    ///
    /// The registry cannot be reached; the entry will disappear by itself.
    async fn withdraw(&self) -> Result<(), RegistryUnavailable>;
}

/// The registry could not be reached, or refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service registry is not available: {reason}")]
pub struct RegistryUnavailable {
    /// What stands in the way, for an administrator.
    pub reason: String,
}
