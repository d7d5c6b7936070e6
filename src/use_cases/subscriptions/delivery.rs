//! What comes from NATS: events for the log, and what becomes of the connection.

use std::time::Instant;

use domain::{
    log::{Appended, EndReason, Entry, NewEvent},
    notification::{EventId, Notification, Recipients},
};
use parking_lot::MutexGuard;

use super::{Encoded, NatsState, Shared, Stream, Subscriptions};

impl Subscriptions {
    /// What comes now was published after `after`, and what was published before that may be lost. Streams that had come further, or
    /// elsewhere, are told of a gap.
    pub(in crate::use_cases) fn resync(&self, after: EventId) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.state.lock();
        state.log.resync(after, now, &mut |connection| shared.wake(connection));
        for opening in &mut state.openings {
            opening.opened_at = opening.opened_at.map(|at| if at.follows(after) { after } else { at });
        }
    }

    /// The recent events are all in the log, and new ones arrive.
    pub(in crate::use_cases) fn subscribed(&self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        state.nats = NatsState::Reading;
        self.shared.start_openings(&mut state, now);
    }

    /// What is published arrives late, or not at present.
    pub(in crate::use_cases) fn fall_behind(&self) {
        let mut state = self.shared.state.lock();
        if state.nats == NatsState::Reading {
            state.nats = NatsState::Behind;
        }
    }

    /// Appends an event, which NATS took at the time `published`, to the log. A logout ends the streams of its users, if they are to end then:
    /// each takes what was published before.
    pub(in crate::use_cases) fn append(
        &self,
        notification: Notification,
        published: Instant,
    ) -> Option<Appended> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let encoded = Encoded::new(&notification.content);
        let logged_out = notification.is_logout().then(|| notification.recipients.clone());
        let id = notification.id;
        let mut state = shared.state.lock();
        let opened = state.log.next_stream_number();
        // A client had not missed yet what arrives late.
        let recorded = if state.nats == NatsState::Filling { published } else { now };
        let event = NewEvent { notification, encoded, published };
        let mut appending = state.log.start_append(event, recorded)?;
        let appended = loop {
            let wake = &mut |connection: &_| shared.wake(connection);
            if let Some(appended) = state.log.append_batch(&mut appending, now, wake) {
                break appended;
            }
            // Whoever opens or ends a stream has a turn.
            MutexGuard::bump(&mut state);
        };
        shared.start_openings(&mut state, now);
        drop(state);
        if appended.is_delivered {
            shared.metrics.delivery_completed(now.saturating_duration_since(published));
        }
        if let Some(recipients) = logged_out.filter(|_| shared.policy().close_on_logout) {
            let users = match recipients {
                Recipients::Users(users) => users,
                Recipients::Everyone => self.users(),
            };
            for user in &users {
                // A stream that replays finds the logout when it comes to it; one that was opened since begins after it.
                let is_meant = |stream: &Stream| {
                    stream.id().number() < opened && !stream.is_replaying() && !stream.has_handled_logout(id)
                };
                self.end_streams(user, EndReason::Logout, is_meant);
            }
        }
        Some(appended)
    }
}

impl Shared {
    /// The last of its streams has taken an event.
    pub(super) fn count_latency(&self, entry: &Entry<Encoded>) {
        self.metrics.delivery_completed(self.clock.now().saturating_duration_since(entry.published));
    }
}
