//! Signs of life for silent streams.

use std::sync::Arc;

use domain::keepalive::KeepalivePolicy;
use ports::outbound::{Frames, Metrics};
use tokio::time::MissedTickBehavior;

use super::Subscriptions;

/// Looks for silent streams, again and again.
pub struct Keepalive {
    /// The streams to look after.
    pub subscriptions: Subscriptions,
    /// How a sign of life looks.
    pub frames: Arc<dyn Frames>,
    /// Where they are counted.
    pub metrics: Arc<dyn Metrics>,
    /// When one is due.
    pub policy: KeepalivePolicy,
}

impl Keepalive {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let keepalive = self.frames.keepalive();
        let mut sweep = tokio::time::interval(self.policy.sweep_period());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweep.tick().await;
            for _ in 0..self.subscriptions.keep_alive(self.policy, &keepalive) {
                self.metrics.keepalive_sent();
            }
        }
    }
}
