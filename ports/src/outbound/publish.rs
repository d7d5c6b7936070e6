use async_trait::async_trait;
use domain::{content::Content, identity::UserId, notification::EventType};

/// Publishes events. Only the demonstration uses it; the service itself only reads.
#[async_trait]
pub trait Publish: Send + Sync {
    /// Publishes an event for `recipients`.
    async fn publish(&self, recipients: Vec<UserId>, event_type: EventType, content: Content);
}
