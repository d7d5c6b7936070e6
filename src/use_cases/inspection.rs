//! A look inside.

use std::sync::Arc;

use domain::{identity::UserId, notification::EventId, statistics::Statistics};
use ports::{
    inbound::{Inspect, OpenStream, RecentEvent},
    outbound::Measurements,
};

use super::Subscriptions;

/// So many of the last events are shown.
const RECENT_EVENTS: usize = 50;

/// Shows an administrator what the streams and the counts say.
pub struct Inspection {
    /// Who is connected, and what has happened lately.
    pub subscriptions: Subscriptions,
    /// What has been counted.
    pub measurements: Arc<dyn Measurements>,
}

impl Inspect for Inspection {
    fn statistics(&self) -> Statistics {
        self.measurements.statistics()
    }

    fn recent_events(&self, after: Option<EventId>) -> Vec<RecentEvent> {
        self.subscriptions.recent_events(after, RECENT_EVENTS)
    }

    fn streams_of(&self, user: &UserId) -> Vec<OpenStream> {
        self.subscriptions.streams_of(user)
    }

    fn end_streams_of(&self, user: &UserId) -> usize {
        self.subscriptions.end_streams_of(user)
    }
}
