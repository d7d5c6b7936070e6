//! The end of all streams when the service stops.

use std::time::Duration;

use domain::{
    drain::{self, DrainRate, DrainSchedule},
    log::EndReason,
};
use tracing::{info, warn};

use super::Subscriptions;

impl Subscriptions {
    /// Rejects new streams and ends the open ones within the time `limit`, one after the other, so that their clients do not all reconnect at
    /// the same moment. With a drain rate they end at that rate, or evenly over `limit` if that is too short; without one, evenly over
    /// `limit`. A stream that has not been ended yet is served as before.
    pub async fn drain(&self, limit: Duration) {
        let shared = &self.shared;
        shared.state.lock().stopping = true;
        let mut open = self.open_streams();
        // The oldest streams come first: with a maximum age they would be the next to end anyway.
        open.sort_unstable_by_key(|(_, id)| *id);
        let streams = u32::try_from(open.len()).unwrap_or(u32::MAX);
        let rate = shared.policy().drain_rate;
        let schedule = DrainSchedule::new(streams, limit, rate);
        log_start(streams, rate, schedule);
        let start = shared.clock.now();
        let mut ended = 0;
        for (mailbox, id) in open {
            tokio::time::sleep_until((start + schedule.due(ended)).into()).await;
            // A stream that has ended for another reason leaves its time to the next one.
            if mailbox.with_stream(id, |stream| stream.is_open()) == Some(true) {
                shared.end(&mailbox, id, EndReason::Stopping);
                ended += 1;
            }
        }
    }
}

fn log_start(streams: u32, rate: Option<DrainRate>, schedule: DrainSchedule) {
    let seconds = schedule.duration().as_secs_f64();
    info!(streams, seconds, "ending all streams");
    if let (Some(rate), Some(needed)) = (rate, schedule.needed_duration()) {
        let (rate, needed_seconds) = (rate.streams_per_second(), drain::timeout_for(needed).as_secs());
        warn!(
            setting = "streams.drain_timeout",
            needed_seconds,
            rate,
            "drain timeout is too short for the drain rate, clients are asked to return later"
        );
    }
}
