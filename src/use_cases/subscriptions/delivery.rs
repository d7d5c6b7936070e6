//! What the relay asks of the streams: to take an event, to hear of a gap, to end.

use std::{sync::Arc, time::Instant};

use domain::{
    fanout::StreamId,
    history::{Gap, GapReason, History},
    identity::UserId,
    notification::{EventId, Notification},
};
use ports::outbound::{EndReason, Frame, Offer, Outbox};

use super::{super::editions::Editions, Bus, Subscriptions};

/// A stream that could not take an event.
pub(in crate::use_cases) struct Behind {
    pub(in crate::use_cases) user: UserId,
    pub(in crate::use_cases) id: StreamId,
    pub(in crate::use_cases) outbox: Arc<dyn Outbox>,
}

impl Subscriptions {
    /// What comes from the bus now was published after `after`. Streams that had come further, or elsewhere, are told that
    /// they have missed something; those that could not be told are answered.
    pub(in crate::use_cases) fn begin(&self, after: EventId) -> Vec<(Behind, Frame)> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.state.lock();
        let before = state.history.replace(History::new(shared.policy.history, after));
        state.settled = Some(after);
        let reason = match before {
            Some(before) if before.latest().incarnation == after.incarnation => GapReason::Expired,
            _ => GapReason::Unknown,
        };
        let mut behind = Vec::new();
        for (user, member) in state.fanout.members().filter(|(_, member)| member.is_live()) {
            let last_event_id = member.position().map(|id| id.to_string());
            let frame = shared.frames.gap(&Gap { last_event_id, reason }, after);
            shared.metrics.gap_told(reason);
            member.tell(after);
            member.begin(after);
            member.session.write(now);
            if let Offer::Full { .. } = member.stream.offer(&frame, now) {
                let (user, outbox) = (user.clone(), Arc::clone(&member.stream));
                behind.push((Behind { user, id: member.id(), outbox }, frame));
            }
        }
        behind
    }

    /// The recent events are all in the history, and new ones arrive.
    pub(in crate::use_cases) fn subscribed(&self) {
        self.shared.state.lock().bus = Bus::Reading;
        self.shared.moved.notify_waiters();
    }

    /// For now nothing arrives.
    pub(in crate::use_cases) fn interrupted(&self) {
        let mut state = self.shared.state.lock();
        if state.bus == Bus::Reading {
            state.bus = Bus::Away;
        }
    }

    /// Keeps the event for those who return. `published` is when the bus took it.
    ///
    /// Who catches up from now on finds it in the history; who is live is offered it afterwards.
    pub(in crate::use_cases) fn record(&self, notification: &Arc<Notification>, published: Instant) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        // What arrives late was not missed by anybody before now.
        let at = if state.bus == Bus::Filling { published } else { now };
        if let Some(history) = &mut state.history {
            history.record(Arc::clone(notification), at, now);
        }
    }

    /// Offers an event to every live stream of `user`, each in the language that is read on it, and answers how many took it. Who
    /// has no room is added to `behind`, with what it is to take.
    pub(in crate::use_cases) fn offer(
        &self,
        user: &UserId,
        event: EventId,
        now: Instant,
        editions: &mut Editions<'_>,
        behind: &mut Vec<(Behind, Frame)>,
    ) -> usize {
        let mut accepted = 0;
        for (id, wish, outbox) in self.shared.state.lock().fanout.reach(user, event, now) {
            let frame = editions.frame(wish);
            match outbox.offer(frame, now) {
                Offer::Accepted => accepted += 1,
                Offer::Full { .. } => {
                    let stream = Behind { user: user.clone(), id, outbox: Arc::clone(outbox) };
                    behind.push((stream, frame.clone()));
                }
                Offer::Gone => {}
            }
        }
        accepted
    }

    /// Every stream that is to have `event` was offered it.
    pub(in crate::use_cases) fn settle(&self, event: EventId) {
        let mut state = self.shared.state.lock();
        state.settled = Some(event);
        // Until the history is filled there may be a crowd waiting, and for none of it is there anything to do.
        if state.bus != Bus::Filling {
            drop(state);
            self.shared.moved.notify_waiters();
        }
    }

    /// Ends a stream that does not read.
    pub(in crate::use_cases) fn end_slow(&self, stream: &Behind) {
        self.shared.end(&stream.user, stream.id, &*stream.outbox, EndReason::Slow, None);
    }

    /// Ends the live streams of a user who has logged out, when they are to end then.
    pub(in crate::use_cases) fn log_out(&self, user: &UserId) {
        if !self.shared.policy.close_on_logout {
            return;
        }
        // Those that still catch up find the event in the history, and end themselves.
        let live: Vec<_> = {
            let mut state = self.shared.state.lock();
            let live = state.fanout.members_of(user).filter(|member| member.is_live());
            live.map(|member| (member.id(), Arc::clone(&member.stream))).collect()
        };
        for (id, outbox) in live {
            let last = self.shared.frames.farewell(EndReason::Logout, None);
            self.shared.end(user, id, &*outbox, EndReason::Logout, Some(last));
        }
    }
}
