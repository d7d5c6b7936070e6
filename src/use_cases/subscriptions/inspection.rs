//! The queries and actions of an administrator.

use domain::{identity::UserId, log::EndReason, notification::EventId};
use ports::inbound::{OpenStream, RecentEvent};

use super::Subscriptions;

impl Subscriptions {
    /// Returns the last `limit` events in the log that follow `after`, the oldest first.
    pub(in crate::use_cases) fn recent_events(
        &self,
        after: Option<EventId>,
        limit: usize,
    ) -> Vec<RecentEvent> {
        let now = self.shared.clock.now();
        let state = self.shared.state.lock();
        let newest = state.log.newest_first().take_while(|(entry, _)| {
            let id = entry.notification.id;
            after.is_none_or(|after| id != after && !after.follows(id))
        });
        let events = newest.take(limit).map(|(entry, recorded)| RecentEvent {
            id: entry.notification.id,
            event_type: entry.notification.event_type.clone(),
            recipients: entry.recipients,
            age: now.saturating_duration_since(recorded),
        });
        let mut events: Vec<_> = events.collect();
        events.reverse();
        events
    }

    /// Returns the state of the open streams of `user`.
    pub(in crate::use_cases) fn streams_of(&self, user: &UserId) -> Vec<OpenStream> {
        let now = self.shared.now();
        let state = self.shared.state.lock();
        let mut open = Vec::new();
        if let Some(mailbox) = state.log.mailbox(user) {
            mailbox.for_each_stream(|stream, lag| {
                open.push(OpenStream {
                    request: stream.resumable().map(|resumable| resumable.request.clone()),
                    position: stream.position(),
                    since_last_write: stream.session.time_since_write(now.instant),
                    lag,
                    remaining: stream.session.remaining(now.unix_time),
                });
            });
        }
        open
    }

    /// Ends the streams of `user`. Returns their number.
    pub(in crate::use_cases) fn end_streams_of(&self, user: &UserId) -> usize {
        self.end_streams(user, EndReason::Administrator, |_| true)
    }
}
