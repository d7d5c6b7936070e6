//! The calls of the relay: appending events, and changes of the connection to NATS.

use std::time::Instant;

use domain::{
    log::{Appended, EndReason, Entry, NewEvent},
    notification::{EventId, Notification, Recipients},
};
use parking_lot::MutexGuard;

use super::{Encoded, NatsState, Shared, Stream, Subscriptions};

impl Subscriptions {
    /// Restarts the log at `after`: the next events were published after it, and earlier events that are not in the log may be lost. Streams
    /// whose position is later or in another incarnation report a gap.
    pub(in crate::use_cases) fn resync(&self, after: EventId) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.state.lock();
        let wake = &mut |connection: &_| shared.wake(connection);
        state.log.resync(after, now, wake, &mut |entry| shared.count_latency(entry));
        for pending in &mut state.pending {
            pending.latest_at_open =
                pending.latest_at_open.map(|id| if id.follows(after) { after } else { id });
        }
    }

    /// Records that all recent events are in the log and that new events arrive.
    pub(in crate::use_cases) fn subscribed(&self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        state.nats = NatsState::Reading;
        self.shared.start_pending(&mut state, now);
    }

    /// Records that new events arrive late or not at all.
    pub(in crate::use_cases) fn mark_lagging(&self) {
        let mut state = self.shared.state.lock();
        if state.nats == NatsState::Reading {
            state.nats = NatsState::Lagging;
        }
    }

    /// Appends an event that was published at the time `published`. If the event is a logout and the policy says so, it ends the streams of
    /// its recipients, which still take the events published before. Returns none if the event is already in the log.
    pub(in crate::use_cases) fn append(
        &self,
        notification: Notification,
        published: Instant,
    ) -> Option<Appended> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let encoded = Encoded::new(&notification.content);
        let logout = notification.logout().map(|_| notification.clone());
        let mut state = shared.state.lock();
        let opened = state.log.next_stream_number();
        // While the log is filled, the event is recorded when it was published. Later, it is recorded on arrival: a client that opened a
        // stream after a late event was published, but before it arrived, gets it.
        let recorded = if state.nats == NatsState::Filling { published } else { now };
        let event = NewEvent { notification, encoded, published };
        let mut appending = state.log.start_append(event, recorded)?;
        let appended = loop {
            let wake = &mut |connection: &_| shared.wake(connection);
            let abandoned = &mut |entry: &_| shared.count_latency(entry);
            if let Some(appended) = state.log.append_batch(&mut appending, now, wake, abandoned) {
                break appended;
            }
            // Lets threads that wait for the lock proceed, which open or end streams.
            MutexGuard::bump(&mut state);
        };
        shared.start_pending(&mut state, now);
        drop(state);
        if appended.is_delivered {
            shared.metrics.delivery_completed(now.saturating_duration_since(published));
        }
        if let Some(notification) = logout.filter(|_| shared.policy().close_on_logout) {
            self.log_out(&notification, opened);
        }
        Some(appended)
    }

    /// Ends the streams that end by a logout, of those opened before the stream number `opened`.
    fn log_out(&self, notification: &Notification, opened: u64) {
        let Some(logout) = notification.logout() else { return };
        // A stream that replays handles the logout when it reaches it. A stream that was opened since then starts after it.
        let is_affected = |stream: &Stream| {
            stream.id().number() < opened && !stream.is_replaying() && stream.ends_by(notification.id, logout)
        };
        match &notification.recipients {
            Recipients::Users(users) => {
                for user in users {
                    self.end_streams(user, EndReason::Logout, is_affected);
                }
            }
            Recipients::Everyone => {
                let mailboxes: Vec<_> = self.shared.state.lock().log.mailboxes().cloned().collect();
                for mailbox in &mailboxes {
                    self.shared.end_streams(mailbox, EndReason::Logout, is_affected);
                }
            }
        }
    }
}

impl Shared {
    /// Records the latency of an event that its last reader has taken or lost.
    pub(super) fn count_latency(&self, entry: &Entry<Encoded>) {
        self.metrics.delivery_completed(self.clock.now().saturating_duration_since(entry.published));
    }
}
