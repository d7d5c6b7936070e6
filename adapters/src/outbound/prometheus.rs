//! The metrics of the service, for Prometheus.

mod http;
mod labels;
mod latency;
mod measurements;
mod metrics;
mod process;
mod runtime;
mod series;
#[cfg(test)]
mod tests;
mod text_format;

use std::sync::atomic::AtomicI64;

use domain::{
    gap::GapReason,
    log::{EndReason, LimitReached},
};
use parking_lot::Mutex;
use ports::outbound::{AuthenticationFailure, Bucket, Outcome};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

pub use self::http::{HttpServerMetrics, Server, Transport};
use self::{
    http::HttpFamilies,
    latency::Latency,
    process::Process,
    runtime::Runtime,
    series::{Labelled, histogram, register},
};

/// The metrics of the service.
///
/// Every series is exported from the start, at zero. In a series that starts later, `rate` would miss the step to its first value.
pub struct PrometheusMetrics {
    registry: Mutex<Registry>,
    connections: Gauge<i64, AtomicI64>,
    users: Gauge<i64, AtomicI64>,
    opened: Counter,
    closed: Labelled<EndReason, Counter>,
    received: Labelled<Outcome, Counter>,
    translations_unreadable: Counter,
    deliveries: Counter,
    latency: Latency,
    keepalives: Counter,
    lag_events: Histogram,
    lag_bytes: Histogram,
    connected: Gauge<i64, AtomicI64>,
    lag: Gauge<i64, AtomicI64>,
    unavailable: Labelled<Bucket, Gauge<i64, AtomicI64>>,
    tickets: Counter,
    rejected: Labelled<AuthenticationFailure, Counter>,
    replayed: Counter,
    gaps: Labelled<GapReason, Counter>,
    limited: Labelled<LimitReached, Counter>,
    log_lines_dropped: Counter,
    http: HttpFamilies,
}

impl PrometheusMetrics {
    /// Creates the metrics. `version` is the version of the program.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let sse = registry.sub_registry_with_prefix("sse");
        sse.register_collector(Box::new(Runtime));
        sse.register("build", "Version of the program", Info::new([("version", version)]));
        let metrics = Self {
            connections: register(sse, "connections", "Open streams"),
            users: register(sse, "users", "Users with at least one open stream"),
            opened: register(sse, "connections_opened", "Opened streams"),
            closed: Labelled::register(
                sse,
                ("connections_closed", "Ended streams, by reason"),
                "reason",
                &labels::END_REASONS,
            ),
            received: Labelled::register(
                sse,
                ("events_received", "Messages from NATS, by outcome"),
                "outcome",
                &labels::OUTCOMES,
            ),
            translations_unreadable: register(
                sse,
                "unreadable_translations",
                "Unreadable translations of events",
            ),
            deliveries: register(sse, "deliveries", "Deliveries of events to open streams"),
            latency: Latency::register(
                sse,
                "delivery_latency_seconds",
                "Time from NATS storing an event until the last of its streams has taken it for writing, has lost it or has ended",
            ),
            lag_events: histogram(
                sse,
                "stream_lag_events",
                "Events that a lagging stream has not taken yet, sampled for each lagging stream",
                exponential_buckets(1.0, 10.0, 6),
            ),
            lag_bytes: histogram(
                sse,
                "stream_lag_bytes",
                "Size of the events that a lagging stream has not taken yet, sampled for each lagging stream",
                exponential_buckets(1024.0, 8.0, 6),
            ),
            keepalives: register(sse, "keepalives", "Keepalive comments on idle streams"),
            connected: register(sse, "bus_connected", "1 while NATS is being read, else 0"),
            lag: register(sse, "bus_lag_messages", "Messages on NATS after the last one that was read"),
            unavailable: Labelled::register(
                sse,
                ("bucket_unavailable", "1 if a bucket of NATS has been unavailable for five seconds, else 0"),
                "bucket",
                &labels::BUCKETS,
            ),
            tickets: register(sse, "tickets_issued", "Issued tickets"),
            rejected: Labelled::register(
                sse,
                ("auth_failures", "Requests rejected because of their token or ticket, by reason"),
                "reason",
                &labels::FAILURES,
            ),
            replayed: register(sse, "replayed_events", "Missed events that were replayed to clients"),
            gaps: Labelled::register(
                sse,
                ("gaps", "Gaps reported to clients, by reason"),
                "reason",
                &labels::GAPS,
            ),
            limited: Labelled::register(
                sse,
                ("limit_refusals", "Streams rejected because of a limit"),
                "limit",
                &labels::LIMITS,
            ),
            log_lines_dropped: register(sse, "log_lines_dropped", "Lines of the log that were dropped"),
            http: HttpFamilies::register(sse),
            registry: Mutex::default(),
        };
        *metrics.registry.lock() = registry;
        metrics
    }

    /// Returns the metrics of an HTTP server, with the labels `server` and `transport`.
    #[must_use]
    pub fn http_server(&self, server: Server, transport: Transport) -> HttpServerMetrics {
        self.http.server(server.name(), transport.name())
    }

    /// Encodes all metrics in the text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a String does not fail.
        text::encode(&mut page, &self.registry.lock()).ok();
        text_format::from_open_metrics(&page)
    }

    /// The media type of [`PrometheusMetrics::render`].
    pub const MEDIA_TYPE: &str = text_format::MEDIA_TYPE;
}
