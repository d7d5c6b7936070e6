//! The use case "inspect": an administrator looks at events, streams and figures.

use std::sync::Arc;

use domain::{identity::UserId, notification::EventId, statistics::Statistics};
use ports::{
    inbound::{Inspect, OpenStream, RecentEvent},
    outbound::Measurements,
};

use super::Subscriptions;

/// Maximum number of recent events that are shown.
const MAX_RECENT_EVENTS: usize = 50;

/// The view of the service for an administrator.
pub struct Inspection {
    /// The open streams and the log of events.
    pub subscriptions: Subscriptions,
    /// The figures of the whole service.
    pub measurements: Arc<dyn Measurements>,
}

impl Inspect for Inspection {
    fn statistics(&self) -> Statistics {
        self.measurements.statistics()
    }

    fn recent_events(&self, after: Option<EventId>) -> Vec<RecentEvent> {
        self.subscriptions.recent_events(after, MAX_RECENT_EVENTS)
    }

    fn streams_of(&self, user: &UserId) -> Vec<OpenStream> {
        self.subscriptions.streams_of(user)
    }

    fn end_streams_of(&self, user: &UserId) -> usize {
        self.subscriptions.end_streams_of(user)
    }
}
