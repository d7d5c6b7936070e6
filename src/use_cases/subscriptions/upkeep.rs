//! What time brings about: one look at all streams, again and again, takes the place of a timer for each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    fanout::{Member, StreamId},
    identity::UserId,
    keepalive::KeepalivePolicy,
    notification::EventId,
    session::{Due, EndOfLife},
};
use ports::outbound::{EndReason, Frame, Offer, Outbox};
use tokio::time::MissedTickBehavior;

use super::{State, Subscriptions};

/// How often it is looked what is due, when keepalives do not ask for more.
const SWEEP: Duration = Duration::from_secs(1);
/// A client is told the id to come back with so many times while the history remembers it.
const POSITIONS_IN_A_HISTORY: u32 = 4;

/// A stream whose time has come.
struct Ending {
    user: UserId,
    id: StreamId,
    outbox: Arc<dyn Outbox>,
    reason: EndReason,
}

impl Subscriptions {
    /// Keeps silent streams alive, ends those whose time is over, and forgets what is too old. Runs until it is dropped.
    pub async fn look_after(self) {
        let period = self.shared.policy.keepalive.as_ref().map_or(SWEEP, KeepalivePolicy::sweep_period);
        let mut sweep = tokio::time::interval(period);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let keepalive = self.shared.frames.keepalive();
        loop {
            sweep.tick().await;
            self.sweep(&keepalive);
        }
    }

    fn sweep(&self, keepalive: &Frame) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut endings = Vec::new();
        let mut state = shared.state.lock();
        state.bookmarks.forget(now);
        state.languages.forget();
        if let Some(history) = &mut state.history {
            history.forget(now);
        }
        let position = self.position_due(&mut state, now);
        let State { fanout, languages, untold, .. } = &mut *state;
        // Who is gone by now is not told any more.
        let telling = std::mem::take(untold);
        for (user, member) in fanout.members() {
            let reason = match member.session.due(shared.policy.keepalive, now) {
                Some(Due::End(EndOfLife::TokenExpired)) => Some(EndReason::Expired),
                Some(Due::End(EndOfLife::OldAge)) => Some(EndReason::OldAge),
                Some(Due::Keepalive) => {
                    if member.stream.offer(keepalive, now) == Offer::Accepted {
                        shared.metrics.keepalive_sent();
                    }
                    None
                }
                None => None,
            };
            if let Some(reason) = reason {
                let (user, outbox) = (user.clone(), Arc::clone(&member.stream));
                endings.push(Ending { user, id: member.id(), outbox, reason });
                continue;
            }
            if telling.contains(&member.id()) {
                let frame = shared.frames.language(&languages.language(&member.wish));
                if member.stream.offer(&frame, now) != Offer::Accepted {
                    untold.insert(member.id());
                }
            }
            if let Some((position, frame)) = &position
                && may_be_told(member, *position)
                && member.stream.offer(frame, now) == Offer::Accepted
            {
                member.tell(*position);
                member.session.write(now);
            }
        }
        drop(state);
        for Ending { user, id, outbox, reason } in endings {
            let last = shared.frames.farewell(reason, None);
            shared.end(&user, id, &*outbox, reason, Some(last));
        }
    }

    /// The last event of all, when it is time to tell its id to those who know an older one: an id that the history has
    /// forgotten would make a client believe that it has missed something.
    fn position_due(&self, state: &mut State, now: Instant) -> Option<(EventId, Frame)> {
        let position = state.settled.filter(|_| self.shared.remembers() && now >= state.positions_due)?;
        state.positions_due = now + self.shared.policy.history.max_age / POSITIONS_IN_A_HISTORY;
        Some((position, self.shared.frames.position(position)))
    }
}

/// A stream that is not live, or has been offered a later event already, is told by that.
fn may_be_told(member: &Member<Arc<dyn Outbox>>, position: EventId) -> bool {
    member.position().is_some_and(|told| position.follows(told))
}
