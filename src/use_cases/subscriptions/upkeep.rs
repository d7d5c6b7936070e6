//! What time brings about: one look at all streams, again and again, takes the place of a timer for each.

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

/// How often it is looked what is due, when keepalives do not ask for more.
const SWEEP: Duration = Duration::from_secs(1);
/// A client is told the id to come back with so many times while the log remembers it.
const REFRESHES_IN_MAX_AGE: u32 = 4;
/// So many mailboxes are looked at before others have their turn at the log.
const SWEPT_AT_A_TIME: usize = 500;
/// A stream is not replaced before this age: clients that share a request id do not send each other away at once.
const MIN_REPLACED_AGE: Duration = Duration::from_secs(5);

impl Subscriptions {
    /// Keeps silent streams alive, ends those whose time is over, and forgets what is too old. Runs until it is dropped.
    pub async fn look_after(self) {
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
        self.shared.policy().keepalive.as_ref().map_or(SWEEP, KeepalivePolicy::sweep_period)
    }

    fn sweep(&self) {
        let shared = &self.shared;
        let time = shared.now();
        let now = time.instant;
        let mut state = shared.state.lock();
        // However often keepalives ask for a look, this need not be done more often.
        let is_tidying = now >= state.tidy_due;
        if is_tidying {
            state.tidy_due = now + SWEEP;
            state.bookmarks.remove_expired(now);
            state.languages.remove_unused();
            while state.log.evict(now) {
                MutexGuard::bump(&mut state);
            }
        }
        shared.start_openings(&mut state, now);
        let swept = std::mem::replace(&mut state.swept, now);
        let mailboxes: Vec<_> = state.log.mailboxes().cloned().collect();
        drop(state);
        let StreamPolicy { keepalive, replace_streams, .. } = shared.policy();
        let replaced_before = now.checked_sub(MIN_REPLACED_AGE).filter(|_| replace_streams);
        let mut endings = Vec::new();
        for mailboxes in mailboxes.chunks(SWEPT_AT_A_TIME) {
            // Others have their turn between one part and the next.
            let mut state = shared.state.lock();
            if is_tidying {
                state.log.prune(mailboxes, now, shared.written_since(now));
            }
            let refresh = shared.refresh(&state, swept, now);
            for mailbox in mailboxes {
                mailbox.for_each_stream(|stream, lag| {
                    if let Some(reason) = self.look_at(stream, lag, keepalive, refresh, time) {
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

    /// Does what is due on a stream; returns a reason to end it.
    fn look_at(
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
        if let Some(written) = shared.written_since(now) {
            stream.confirm(now, written);
        }
        // It keeps the connection alive as well, and comes first: a keepalive would put it off.
        let position = refresh.and_then(|refresh| refresh.position_for(stream.id()));
        if position.is_some_and(|position| stream.refresh_position(position)) {
            stream.session.record_write(now);
            shared.wake(&stream.connection);
        }
        match stream.session.due(keepalive, time) {
            Some(Due::End(SessionEnd::TokenExpired)) => return Some(EndReason::Expired),
            Some(Due::End(SessionEnd::MaxAge)) => return Some(EndReason::MaxAge),
            // Where something waits, it keeps the connection alive as soon as the client takes it.
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
    /// Which streams are told the id of the last event, when all were last looked at at the time `swept`.
    fn refresh(&self, state: &State, swept: Instant, now: Instant) -> Option<Refresh> {
        let position = state.log.latest().filter(|_| self.keeps_history())?;
        let period = self.log.max_age / REFRESHES_IN_MAX_AGE;
        Some(Refresh { position, period, from: swept - self.started, until: now - self.started })
    }
}

/// Streams that have had no event for long are told the id of the last event of all: an id that is older than the log reaches would make a
/// client believe that it has missed something. Each has a moment of its own in every period: the comments of silent streams, which follow
/// their last write, would otherwise all be due together from then on.
#[derive(Clone, Copy)]
struct Refresh {
    position: EventId,
    period: Duration,
    from: Duration,
    until: Duration,
}

impl Refresh {
    fn position_for(&self, stream: StreamId) -> Option<EventId> {
        let is_due = Jitter::of(stream.number()).is_due_between(self.from, self.until, self.period);
        is_due.then_some(self.position)
    }
}
