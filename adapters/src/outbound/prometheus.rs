//! Counts for Prometheus.

use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use ports::outbound::{EndReason, Metrics, Outcome};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The service's metrics, as the `OpenMetrics` text that Prometheus reads.
pub struct PrometheusMetrics {
    registry: Mutex<Registry>,
    connections: Gauge<i64, AtomicI64>,
    users: Gauge<i64, AtomicI64>,
    opened: Counter,
    closed: Family<Reason, Counter>,
    received: Family<OutcomeLabel, Counter>,
    deliveries: Counter,
    evictions: Counter,
    keepalives: Counter,
    connected: Gauge<i64, AtomicI64>,
    auth_failures: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Default for PrometheusMetrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("sse")),
            connections: Gauge::default(),
            users: Gauge::default(),
            opened: Counter::default(),
            closed: Family::default(),
            received: Family::default(),
            deliveries: Counter::default(),
            evictions: Counter::default(),
            keepalives: Counter::default(),
            connected: Gauge::default(),
            auth_failures: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl PrometheusMetrics {
    /// All metrics as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing into a String does not fail.
        text::encode(&mut page, &self.registry.lock()).ok();
        page
    }

    /// The media type of [`PrometheusMetrics::render`].
    pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn register(&self) {
        let mut registry = self.registry.lock();
        let Self { connections, users, opened, closed, received, deliveries, evictions, keepalives, .. } =
            self;
        registry.register("connections", "Streams that are open", connections.clone());
        registry.register("users", "Users with at least one open stream", users.clone());
        registry.register("connections_opened", "Streams that were opened", opened.clone());
        registry.register("connections_closed", "Streams that have ended, by reason", closed.clone());
        registry.register(
            "events_received",
            "Messages from the bus, by what became of them",
            received.clone(),
        );
        registry.register("deliveries", "Events put into the queues of streams", deliveries.clone());
        registry.register(
            "queue_evictions",
            "Streams ended because their client does not read",
            evictions.clone(),
        );
        registry.register("keepalives", "Comments put on silent streams", keepalives.clone());
        registry.register("bus_connected", "1 while the bus is being read, else 0", self.connected.clone());
        registry.register(
            "auth_failures",
            "Streams refused for their token, by reason",
            self.auth_failures.clone(),
        );
    }

    fn set_open(&self, streams: usize, users: usize) {
        self.connections.set(i64::try_from(streams).unwrap_or(i64::MAX));
        self.users.set(i64::try_from(users).unwrap_or(i64::MAX));
    }
}

impl Metrics for PrometheusMetrics {
    fn stream_opened(&self, streams: usize, users: usize) {
        self.set_open(streams, users);
        self.opened.inc();
    }

    fn stream_closed(&self, reason: EndReason, streams: usize, users: usize) {
        self.set_open(streams, users);
        let label = match reason {
            EndReason::Client => "client",
            EndReason::Slow => "slow",
            EndReason::Stopping => "stopping",
        };
        self.closed.get_or_create(&Reason { reason: label }).inc();
        if reason == EndReason::Slow {
            self.evictions.inc();
        }
    }

    fn event_received(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::NoSubscriber => "no_subscriber",
            Outcome::OtherType => "other_type",
            Outcome::Unreadable => "unreadable",
        };
        self.received.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    fn delivered(&self, streams: usize) {
        self.deliveries.inc_by(streams as u64);
    }

    fn keepalive_sent(&self) {
        self.keepalives.inc();
    }

    fn bus_connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    fn authentication_failed(&self, reason: &'static str) {
        self.auth_failures.get_or_create(&Reason { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_shown_under_the_documented_names() {
        let metrics = PrometheusMetrics::default();
        metrics.stream_opened(1, 1);
        metrics.stream_opened(2, 1);
        metrics.stream_closed(EndReason::Slow, 1, 1);
        metrics.event_received(Outcome::Unreadable);
        metrics.delivered(5000);
        metrics.keepalive_sent();
        metrics.bus_connected(true);
        metrics.authentication_failed("expired");
        let page = metrics.render();
        for line in [
            "sse_connections 1",
            "sse_users 1",
            "sse_connections_opened_total 2",
            "sse_connections_closed_total{reason=\"slow\"} 1",
            "sse_queue_evictions_total 1",
            "sse_events_received_total{outcome=\"unreadable\"} 1",
            "sse_deliveries_total 5000",
            "sse_keepalives_total 1",
            "sse_bus_connected 1",
            "sse_auth_failures_total{reason=\"expired\"} 1",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }
}
