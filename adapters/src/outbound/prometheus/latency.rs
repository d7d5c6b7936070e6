//! The delivery latency of events.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::distribution::Distribution;
use prometheus_client::{metrics::histogram::Histogram, registry::Registry};

use super::series::histogram;

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A histogram whose buckets can also be read by this process. The library's histogram can only be encoded.
pub(super) struct Latency {
    histogram: Histogram,
    counts: [AtomicU64; BOUNDS.len() + 1],
}

impl Latency {
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        Self { histogram: histogram(registry, name, help, BOUNDS), counts: Default::default() }
    }

    pub(super) fn observe(&self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        self.histogram.observe(seconds);
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn distribution(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Distribution::new(BOUNDS.map(Duration::from_secs_f64).to_vec(), counts.collect())
    }
}
