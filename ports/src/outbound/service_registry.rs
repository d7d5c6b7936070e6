use std::time::Duration;

use async_trait::async_trait;

/// The platform's service registry, in which other services find this instance.
///
/// `obligations::service_registry` tests the obligations of an implementation.
#[async_trait]
pub trait ServiceRegistry: Send + Sync {
    /// Creates or renews the entry of this instance. Returns its lifetime: an entry that is not renewed within that time disappears.
    ///
    /// # Errors
    ///
    /// Returns [`RegistryUnavailable`] if the registry cannot be reached. The caller retries.
    async fn announce(&self) -> Result<Duration, RegistryUnavailable>;

    /// Waits until the entry may be gone: since the last call of [`ServiceRegistry::announce`] the connection was lost or restored, or the
    /// registry was recreated.
    async fn changed(&self);

    /// Removes the entry of this instance, if there is one.
    ///
    /// # Errors
    ///
    /// Returns [`RegistryUnavailable`] if the registry cannot be reached. The entry then disappears at the end of its lifetime.
    async fn withdraw(&self) -> Result<(), RegistryUnavailable>;
}

/// The error of a registry that could not be reached or rejected the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service registry is not available: {reason}")]
pub struct RegistryUnavailable {
    /// The cause, for an administrator.
    pub reason: String,
}
