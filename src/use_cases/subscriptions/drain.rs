//! The end of all streams.

use std::{sync::Arc, time::Duration};

use domain::log::EndReason;

use super::Subscriptions;

impl Subscriptions {
    /// Refuses new streams from now on, and ends the open ones one after the other, evenly over the time `over`: a crowd that
    /// was sent away at once would come back at once. Until its turn comes, each is served as before.
    pub async fn drain(&self, over: Duration) {
        let shared = &self.shared;
        let mailboxes: Vec<_> = {
            let mut state = shared.state.lock();
            state.stopping = true;
            state.log.mailboxes().cloned().collect()
        };
        let mut open = Vec::new();
        for mailbox in mailboxes {
            mailbox.for_each_stream(|stream, _| open.push((Arc::clone(&mailbox), stream.id())));
        }
        let began = shared.clock.now();
        let streams = u32::try_from(open.len()).unwrap_or(u32::MAX);
        for ((mailbox, id), number) in open.into_iter().zip(0_u32..) {
            let turn = over.mul_f64(f64::from(number) / f64::from(streams));
            tokio::time::sleep_until((began + turn).into()).await;
            shared.end(&mailbox, id, EndReason::Stopping);
        }
    }
}
