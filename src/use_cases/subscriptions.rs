//! The open streams, shared by those who open them and those who write to them.

use std::{sync::Arc, time::Instant};

use domain::{
    fanout::{Fanout, StreamId},
    identity::UserId,
    keepalive::KeepalivePolicy,
    notification::EventId,
};
use parking_lot::Mutex;
use ports::{
    inbound::{Refused, Subscribe, Subscription},
    outbound::{Clock, EndReason, Frame, Metrics, Offer, Outbox},
};

/// The open streams of all users. A copy is the same set of streams.
#[derive(Clone)]
pub struct Subscriptions {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
}

/// Held for a few instructions at a time, never across an await.
#[derive(Default)]
struct State {
    fanout: Fanout<Arc<dyn Outbox>>,
    stopping: bool,
}

/// A stream that could not take an event.
pub(super) struct Behind {
    pub(super) user: UserId,
    pub(super) id: StreamId,
    pub(super) outbox: Arc<dyn Outbox>,
}

impl Subscriptions {
    /// No stream is open yet.
    #[must_use]
    pub fn new(metrics: Arc<dyn Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), metrics, clock }) }
    }

    /// Offers an event to every stream of `user`, and answers how many took it. `frame` is asked for when there is a
    /// stream at all; who has no room is added to `behind`.
    pub(super) fn offer<'a>(
        &self,
        user: &UserId,
        event: EventId,
        now: Instant,
        mut frame: impl FnMut() -> &'a Frame,
        behind: &mut Vec<Behind>,
    ) -> usize {
        let mut accepted = 0;
        for (id, outbox) in self.shared.state.lock().fanout.reach(user, event, now) {
            match outbox.offer(frame(), now) {
                Offer::Accepted => accepted += 1,
                Offer::Full { .. } => {
                    behind.push(Behind { user: user.clone(), id, outbox: Arc::clone(outbox) });
                }
                Offer::Gone => {}
            }
        }
        accepted
    }

    /// Offers the keepalive to every stream for which it is due, and answers how many took it.
    pub(super) fn keep_alive(&self, policy: KeepalivePolicy, keepalive: &Frame) -> usize {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        let offers = state.fanout.silent(policy, now).map(|outbox| outbox.offer(keepalive, now));
        offers.filter(|offer| *offer == Offer::Accepted).count()
    }

    /// Ends one stream.
    pub(super) fn end(&self, stream: &Behind, reason: EndReason) {
        // In this order: the end lets the connection go, which would leave for a reason of its own.
        self.shared.leave(&stream.user, stream.id, reason);
        stream.outbox.end(reason);
    }

    /// Ends all streams, and refuses new ones from now on.
    pub fn stop(&self) {
        let ended: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.stopping = true;
            state.fanout.clear().collect()
        };
        for outbox in ended {
            outbox.end(EndReason::Stopping);
            self.shared.metrics.stream_closed(EndReason::Stopping, 0, 0);
        }
    }
}

impl Subscribe for Subscriptions {
    fn subscribe(&self, user: &UserId, outbox: Arc<dyn Outbox>) -> Result<Subscription, Refused> {
        let now = self.shared.clock.now();
        let id = {
            let mut state = self.shared.state.lock();
            if state.stopping {
                return Err(Refused::Stopping);
            }
            let id = state.fanout.join(user.clone(), outbox, now);
            self.shared.metrics.stream_opened(state.fanout.streams(), state.fanout.users());
            id
        };
        let (shared, user) = (Arc::clone(&self.shared), user.clone());
        Ok(Subscription::new(move || shared.leave(&user, id, EndReason::Client)))
    }
}

impl Shared {
    /// Whoever comes first to take the stream away says why it ended.
    fn leave(&self, user: &UserId, id: StreamId, reason: EndReason) {
        let mut state = self.state.lock();
        let left = state.fanout.leave(user, id);
        if left.is_some() {
            self.metrics.stream_closed(reason, state.fanout.streams(), state.fanout.users());
        }
        // The queue may be the last holder of frames: free them without the lock.
        drop(state);
        drop(left);
    }
}
