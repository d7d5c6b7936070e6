//! What an administrator may ask of the streams.

use std::sync::Arc;

use domain::{identity::UserId, notification::EventId};
use ports::{
    inbound::{OpenStream, RecentEvent},
    outbound::EndReason,
};

use super::Subscriptions;

impl Subscriptions {
    /// The last events after `after` that the history holds, at most `most`, the oldest first.
    pub(in crate::use_cases) fn recent_events(
        &self,
        after: Option<EventId>,
        most: usize,
    ) -> Vec<RecentEvent> {
        let now = self.shared.clock.now();
        let newest: Vec<_> = {
            let state = self.shared.state.lock();
            let Some(history) = &state.history else { return Vec::new() };
            let newest = history.newest().take_while(|(notification, _)| {
                after.is_none_or(|after| notification.id != after && !after.follows(notification.id))
            });
            newest.take(most).map(|(notification, at)| (Arc::clone(notification), at)).collect()
        };
        let oldest_first = newest.into_iter().rev();
        let events = oldest_first.map(|(notification, at)| RecentEvent {
            id: notification.id,
            event_type: notification.event_type.clone(),
            recipients: notification.recipients.len(),
            age: now.saturating_duration_since(at),
        });
        events.collect()
    }

    /// How it stands with the streams of `user`.
    pub(in crate::use_cases) fn streams_of(&self, user: &UserId) -> Vec<OpenStream> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        let open = state.fanout.members_of(user).map(|member| OpenStream {
            request: member.resumable.as_ref().map(|resumable| resumable.request.clone()),
            position: member.position(),
            silent: member.session.silent(now),
            stalled: member.stream.stalled(now),
            remaining: member.session.remaining(now),
        });
        open.collect()
    }

    /// Ends the streams of `user`, and answers how many they were.
    pub(in crate::use_cases) fn end_streams_of(&self, user: &UserId) -> usize {
        let open: Vec<_> = {
            let mut state = self.shared.state.lock();
            let open = state.fanout.members_of(user);
            open.map(|member| (member.id(), Arc::clone(&member.stream))).collect()
        };
        for (id, outbox) in &open {
            let last = self.shared.frames.farewell(EndReason::Administrator, None);
            self.shared.end(user, *id, &**outbox, EndReason::Administrator, Some(last));
        }
        open.len()
    }
}
