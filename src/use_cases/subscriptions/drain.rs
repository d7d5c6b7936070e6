//! The end of all streams when the service stops.

use std::time::Duration;

use domain::log::EndReason;

use super::Subscriptions;

impl Subscriptions {
    /// Rejects new streams and ends the open ones, evenly distributed over the time `over`, so that their clients do not all reconnect
    /// at the same moment. A stream that has not been ended yet is served as before.
    pub async fn drain(&self, over: Duration) {
        let shared = &self.shared;
        shared.state.lock().stopping = true;
        let open = self.open_streams();
        let start = shared.clock.now();
        let streams = u32::try_from(open.len()).unwrap_or(u32::MAX);
        for ((mailbox, id), number) in open.into_iter().zip(0_u32..) {
            let delay = over.mul_f64(f64::from(number) / f64::from(streams));
            tokio::time::sleep_until((start + delay).into()).await;
            shared.end(&mailbox, id, EndReason::Stopping);
        }
    }
}
