//! The periodic sweep over all streams, which takes the place of a timer for each stream.

use std::time::{Duration, Instant};

use domain::{
    jitter::Jitter,
    keepalive::KeepalivePolicy,
    log::{EndReason, Lag, Note, StreamId},
    notification::EventId,
    session::{Due, Now, SessionEnd},
};
use parking_lot::MutexGuard;
use tokio::time::MissedTickBehavior;

use super::{Shared, State, Stream, StreamPolicy, Subscriptions};

/// Time between two sweeps, unless the keepalive interval needs more frequent ones.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);
/// Number of position refreshes that a silent stream gets within the maximum age of the log.
const REFRESHES_PER_MAX_AGE: u32 = 4;
/// Number of mailboxes that are swept before the lock is released.
const SWEEP_BATCH: usize = 500;
/// Minimum age of a stream before a newer one replaces it. It prevents clients that share a request id from replacing each other in a
/// tight loop.
const MIN_REPLACED_AGE: Duration = Duration::from_secs(5);

impl Subscriptions {
    /// Sends keepalives, ends streams that have expired or reached their maximum age, and removes old events and bookmarks, until the future
    /// is dropped.
    pub async fn maintain(self) {
        loop {
            let period = self.sweep_period();
            let mut sweep = tokio::time::interval(period);
            sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while self.sweep_period() == period {
                sweep.tick().await;
                self.sweep();
            }
        }
    }

    fn sweep_period(&self) -> Duration {
        self.shared.policy().keepalive.as_ref().map_or(SWEEP_PERIOD, KeepalivePolicy::sweep_period)
    }

    fn sweep(&self) {
        let shared = &self.shared;
        let time = shared.now();
        let now = time.instant;
        let mut state = shared.state.lock();
        // Keepalives may need frequent sweeps. The cleanup does not.
        let is_cleanup_due = now >= state.cleanup_due;
        if is_cleanup_due {
            state.cleanup_due = now + SWEEP_PERIOD;
            state.bookmarks.remove_expired(now);
            state.languages.remove_unused();
            while state.log.evict(now, &mut |entry| shared.count_latency(entry)) {
                MutexGuard::bump(&mut state);
            }
        }
        shared.start_pending(&mut state, now);
        let last_sweep = std::mem::replace(&mut state.last_sweep, now);
        let mailboxes: Vec<_> = state.log.mailboxes().cloned().collect();
        drop(state);
        let StreamPolicy { keepalive, replace_streams, .. } = shared.policy();
        let replaced_before = now.checked_sub(MIN_REPLACED_AGE).filter(|_| replace_streams);
        let mut endings = Vec::new();
        for mailboxes in mailboxes.chunks(SWEEP_BATCH) {
            // The lock is released between two batches, so that streams can be opened and events appended.
            let mut state = shared.state.lock();
            if is_cleanup_due {
                let abandoned = &mut |entry: &_| shared.count_latency(entry);
                state.log.prune(mailboxes, now, shared.confirmed_until(now), abandoned);
            }
            let refresh = shared.refresh(&state, last_sweep, now);
            for mailbox in mailboxes {
                mailbox.for_each_stream(|stream, lag| {
                    if let Some(reason) = self.sweep_stream(stream, lag, keepalive, refresh, time) {
                        endings.push((mailbox, stream.id(), reason));
                    }
                });
                if let Some(time) = replaced_before {
                    endings.extend(
                        mailbox
                            .replaced_streams(time)
                            .into_iter()
                            .map(|id| (mailbox, id, EndReason::Replaced)),
                    );
                }
            }
        }
        for (mailbox, id, reason) in endings {
            shared.end(mailbox, id, reason);
        }
    }

    /// Does what is due on one stream. Returns the reason if the stream has to end.
    fn sweep_stream(
        &self,
        stream: &mut Stream,
        lag: Lag,
        keepalive: Option<KeepalivePolicy>,
        refresh: Option<Refresh>,
        time: Now,
    ) -> Option<EndReason> {
        let (shared, now) = (&self.shared, time.instant);
        if lag != Lag::default() {
            shared.metrics.lagging(lag);
        }
        if let Some(confirmed_until) = shared.confirmed_until(now) {
            stream.confirm(now, confirmed_until);
        }
        // The position refresh comes before the keepalive, because it makes one unnecessary, whereas a keepalive would make it wait.
        let position = refresh.and_then(|refresh| refresh.position_for(stream.id()));
        if position.is_some_and(|position| stream.refresh_position(position)) {
            stream.session.record_write(now);
            shared.wake(&stream.connection);
        }
        match stream.session.due(keepalive, time) {
            Some(Due::End(SessionEnd::TokenExpired)) => return Some(EndReason::Expired),
            Some(Due::End(SessionEnd::MaxAge)) => return Some(EndReason::MaxAge),
            // A stream that still has something to take needs no keepalive: its next frame keeps the connection alive.
            Some(Due::Keepalive) if stream.is_waiting() => {
                stream.add_note(Note::Keepalive);
                shared.metrics.keepalive_sent();
                shared.wake(&stream.connection);
            }
            Some(Due::Keepalive) | None => {}
        }
        None
    }
}

impl Shared {
    /// Returns the position refresh of the sweep at `now`. None without a history.
    fn refresh(&self, state: &State, last_sweep: Instant, now: Instant) -> Option<Refresh> {
        let position = state.log.latest().filter(|_| self.keeps_history())?;
        let period = self.log.max_age / REFRESHES_PER_MAX_AGE;
        Some(Refresh { position, period, from: last_sweep - self.started, until: now - self.started })
    }
}

/// The position refresh: streams without recent events are sent the id of the last event of the log. If a client returned with an id that
/// is older than the log, it would get a gap although it has missed nothing.
///
/// Jitter gives each stream its own moment in every period. Otherwise all refreshes would be due at once, and so would all keepalives from
/// then on, because they follow the last write.
#[derive(Clone, Copy)]
struct Refresh {
    position: EventId,
    period: Duration,
    /// The time of the last sweep, since the start of the service.
    from: Duration,
    /// The time of this sweep, since the start of the service.
    until: Duration,
}

impl Refresh {
    /// Returns the position to send to `stream`, if its refresh is due.
    fn position_for(&self, stream: StreamId) -> Option<EventId> {
        let is_due = Jitter::of(stream.number()).is_due_between(self.from, self.until, self.period);
        is_due.then_some(self.position)
    }
}
