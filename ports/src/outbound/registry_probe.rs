use async_trait::async_trait;

use super::BusFault;

/// Reads the platform's service registry.
#[async_trait]
pub trait RegistryProbe: Send + Sync {
    /// Returns the instances of all services.
    ///
    /// # Errors
    ///
    /// Returns the reason why the registry cannot be read within ten seconds.
    async fn instances(&self) -> Result<Vec<RegisteredInstance>, BusFault>;

    /// Returns the permissions that reading needs, as an administrator grants them.
    fn permissions(&self) -> &'static str;
}

/// An instance of a service, as the registry describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredInstance {
    /// The name of the service.
    pub service: String,
    /// The host and port.
    pub address: String,
    /// Whether the instance expects TLS.
    pub uses_tls: bool,
}
