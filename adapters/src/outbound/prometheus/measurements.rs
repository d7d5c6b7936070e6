//! Implementation of the port `Measurements`.

use std::sync::atomic::AtomicI64;

use domain::statistics::Statistics;
use ports::outbound::{Measurements, Outcome};
use prometheus_client::metrics::gauge::Gauge;

use super::PrometheusMetrics;

impl Measurements for PrometheusMetrics {
    fn statistics(&self) -> Statistics {
        let current = |gauge: &Gauge<i64, AtomicI64>| u64::try_from(gauge.get()).unwrap_or_default();
        let for_this_service = [Outcome::Delivered, Outcome::NoSubscriber];
        let events = self.received.iter().filter(|(outcome, _)| for_this_service.contains(outcome));
        let ended = self.closed.iter().map(|(reason, count)| (*reason, count.get()));
        Statistics {
            streams: current(&self.connections),
            users: current(&self.users),
            opened: self.opened.get(),
            ended: ended.collect(),
            events: events.map(|(_, count)| count.get()).sum(),
            deliveries: self.deliveries.get(),
            latency: self.latency.distribution(),
            nats_connected: self.connected.get() != 0,
            nats_lag: current(&self.lag),
        }
    }
}
