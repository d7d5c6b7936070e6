use async_trait::async_trait;
use domain::{identity::UserId, notification::EventType};
use std::time::Duration;

/// Tests the event bus from this machine. The events that it publishes stay; what it reads with disappears within a minute.
#[async_trait]
pub trait BusProbe: Send + Sync {
    /// Waits for the connection. Returns the product and version of the server.
    ///
    /// # Errors
    ///
    /// Returns the reason why there is no connection after five seconds.
    async fn connect(&self) -> Result<String, BusFault>;

    /// Tests the operations that the service needs, on each store: the queue of events first, then the buckets.
    async fn stores(&self) -> Vec<StoreTest>;

    /// Returns the time of the bus since 1970.
    ///
    /// # Errors
    ///
    /// Returns the reason why the bus did not answer.
    async fn unix_time(&self) -> Result<Duration, BusFault>;

    /// Publishes an event for `user`. It stays in the queue, as every event does.
    ///
    /// # Errors
    ///
    /// Returns the reason why it was not published.
    async fn publish(&self, user: &UserId, event_type: &EventType, content: &str) -> Result<(), BusFault>;
}

/// The test of one store of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTest {
    /// The name of the store.
    pub name: &'static str,
    /// Whether events reach clients without this store.
    pub is_optional: bool,
    /// Whether all operations succeeded.
    pub outcome: Result<(), BusFault>,
}

/// The reason why an operation failed. The text is for an administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusFault {
    /// The bus does not permit the operation.
    #[error("{0}")]
    Denied(String),
    /// The store does not exist.
    #[error("it does not exist")]
    Missing,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}
