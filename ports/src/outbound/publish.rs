use async_trait::async_trait;
use domain::{content::Content, identity::UserId, notification::EventType};

/// Puts events on the bus. The service itself only listens; whoever shows it to people speaks, too.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Publish: Send + Sync {
    /// Puts an event for `recipients` on the bus.
    async fn publish(&self, recipients: Vec<UserId>, event_type: EventType, content: Content);
}
