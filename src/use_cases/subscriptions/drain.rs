//! The end of all streams.

use std::{sync::Arc, time::Duration};

use domain::spread::Spread;
use ports::outbound::EndReason;

use super::Subscriptions;

/// How long clients are asked to wait when nothing was configured.
const RECONNECTION_TIME: Duration = Duration::from_secs(3);

impl Subscriptions {
    /// Refuses new streams from now on, and ends the open ones one after the other, evenly over the time `over`: a crowd that
    /// was sent away at once would come back at once. Until its turn comes, each is served as before.
    pub async fn drain(&self, over: Duration) {
        let shared = &self.shared;
        let open: Vec<_> = {
            let mut state = shared.state.lock();
            state.stopping = true;
            let open = state.fanout.members();
            open.map(|(user, member)| (user.clone(), member.id(), Arc::clone(&member.stream))).collect()
        };
        let began = shared.clock.now();
        let streams = u32::try_from(open.len()).unwrap_or(u32::MAX);
        for ((user, id, outbox), number) in open.into_iter().zip(0_u32..) {
            let turn = over.mul_f64(f64::from(number) / f64::from(streams));
            tokio::time::sleep_until((began + turn).into()).await;
            let time = shared.policy.reconnection_time.unwrap_or(RECONNECTION_TIME);
            let time = Spread::of(number.into()).later(time);
            let last = shared.frames.farewell(EndReason::Stopping, Some(time));
            shared.end(&user, id, &*outbox, EndReason::Stopping, Some(last));
        }
    }
}
