//! Counts for Prometheus.

mod classic;
mod counting;
mod http;
mod labels;
mod latency;
mod process;
mod runtime;
mod series;
mod statistics;
#[cfg(test)]
mod tests;

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
    classic::classic,
    http::HttpFamilies,
    latency::Latency,
    process::Process,
    runtime::Runtime,
    series::{Labelled, add, histogram},
};

/// The service's metrics, as the text that Prometheus reads.
///
/// Every series is there from the beginning, at zero: a rate does not see the step to the first value of a new one.
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
    evictions: Counter,
    keepalives: Counter,
    lag_events: Histogram,
    lag_bytes: Histogram,
    connected: Gauge<i64, AtomicI64>,
    lag: Gauge<i64, AtomicI64>,
    unavailable: Labelled<Bucket, Gauge<i64, AtomicI64>>,
    refused: Labelled<AuthenticationFailure, Counter>,
    replayed: Counter,
    gaps: Labelled<GapReason, Counter>,
    limited: Labelled<LimitReached, Counter>,
    http: HttpFamilies,
}

impl PrometheusMetrics {
    /// Nothing has happened yet. `version` is that of the program.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let sse = registry.sub_registry_with_prefix("sse");
        sse.register_collector(Box::new(Runtime));
        sse.register("build", "The program", Info::new([("version", version)]));
        let metrics = Self {
            connections: add(sse, "connections", "Streams that are open"),
            users: add(sse, "users", "Users with at least one open stream"),
            opened: add(sse, "connections_opened", "Streams that were opened"),
            closed: Labelled::add(
                sse,
                ("connections_closed", "Streams that have ended, by reason"),
                "reason",
                &labels::END_REASONS,
            ),
            received: Labelled::add(
                sse,
                ("events_received", "Messages from the bus, by what became of them"),
                "outcome",
                &labels::OUTCOMES,
            ),
            translations_unreadable: add(
                sse,
                "unreadable_translations",
                "Translations of an event that were passed over",
            ),
            deliveries: add(sse, "deliveries", "Events that open streams were to take"),
            latency: Latency::add(
                sse,
                "delivery_latency_seconds",
                "From NATS taking an event to the last of its streams taking it for writing",
            ),
            evictions: add(sse, "queue_evictions", "Streams ended because their client took nothing"),
            lag_events: histogram(
                sse,
                "stream_lag_events",
                "Events that lagging streams have still to take, asked of each now and then",
                exponential_buckets(1.0, 10.0, 6),
            ),
            lag_bytes: histogram(
                sse,
                "stream_lag_bytes",
                "Bytes that these events take in the log",
                exponential_buckets(1024.0, 8.0, 6),
            ),
            keepalives: add(sse, "keepalives", "Comments put on silent streams"),
            connected: add(sse, "bus_connected", "1 while the bus is being read, else 0"),
            lag: add(
                sse,
                "bus_lag_messages",
                "Messages that stood on the bus behind the last one that was read",
            ),
            unavailable: Labelled::add(
                sse,
                (
                    "bucket_unavailable",
                    "1 when a bucket on the bus has been out of reach for five seconds, else 0",
                ),
                "bucket",
                &labels::BUCKETS,
            ),
            refused: Labelled::add(
                sse,
                ("auth_failures", "Requests refused for their token, by reason"),
                "reason",
                &labels::FAILURES,
            ),
            replayed: add(sse, "replayed_events", "Events that clients had missed and were given"),
            gaps: Labelled::add(
                sse,
                ("gaps", "Clients told that they have missed events, by reason"),
                "reason",
                &labels::GAPS,
            ),
            limited: Labelled::add(
                sse,
                ("limit_refusals", "Streams refused because of a limit"),
                "limit",
                &labels::LIMITS,
            ),
            http: HttpFamilies::register(sse),
            registry: Mutex::default(),
        };
        *metrics.registry.lock() = registry;
        metrics
    }

    /// The counts of an HTTP server, which are told apart by the `server` and its `transport`.
    #[must_use]
    pub fn http_server(&self, server: Server, transport: Transport) -> HttpServerMetrics {
        self.http.server(server.name(), transport.name())
    }

    /// All metrics as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing into a String does not fail.
        text::encode(&mut page, &self.registry.lock()).ok();
        classic(&page)
    }

    /// The media type of [`PrometheusMetrics::render`].
    pub const MEDIA_TYPE: &str = classic::MEDIA_TYPE;
}
