//! Counts for Prometheus.

mod classic;
mod http;
mod process;
mod runtime;

use std::{
    fmt::Debug,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use domain::{
    distribution::Distribution,
    gap::GapReason,
    log::{Lag, LimitReached},
};
use parking_lot::Mutex;
use ports::outbound::{
    AuthenticationFailure, Bucket, EndReason, Figures, Measurements, Metrics, Outcome, TokenRejected,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        TypedMetric,
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry},
};

pub use self::http::HttpServerMetrics;
use self::{classic::classic, http::HttpFamilies, process::Process, runtime::Runtime};

/// The service's metrics, as the text that Prometheus reads.
///
/// Every series is there from the beginning, at zero: a rate does not see the step to the first value of a new one.
pub struct PrometheusMetrics {
    registry: Mutex<Registry>,
    connections: Gauge<i64, AtomicI64>,
    users: Gauge<i64, AtomicI64>,
    opened: Counter,
    closed: [Counter; END_REASONS.len()],
    received: [Counter; OUTCOMES.len()],
    translations_unreadable: Counter,
    deliveries: Counter,
    latency: Histogram,
    /// The same by bucket: the library shows them to nobody but Prometheus.
    latencies: [AtomicU64; BUCKETS.len() + 1],
    evictions: Counter,
    keepalives: Counter,
    lag_events: Histogram,
    lag_bytes: Histogram,
    connected: Gauge<i64, AtomicI64>,
    lag: Gauge<i64, AtomicI64>,
    unavailable: [Gauge<i64, AtomicI64>; BUCKET_NAMES.len()],
    refused: [Counter; FAILURES.len()],
    replayed: Counter,
    gaps: [Counter; GAPS.len()],
    limited: [Counter; LIMITS.len()],
    http: HttpFamilies,
}

const END_REASONS: [(EndReason, &str); 9] = [
    (EndReason::Client, "client"),
    (EndReason::Slow, "slow"),
    (EndReason::Expired, "expired"),
    (EndReason::Logout, "logout"),
    (EndReason::Revoked, "revoked"),
    (EndReason::OldAge, "old_age"),
    (EndReason::Replaced, "replaced"),
    (EndReason::Administrator, "administrator"),
    (EndReason::Stopping, "stopping"),
];

const GAPS: [(GapReason, &str); 3] =
    [(GapReason::Expired, "expired"), (GapReason::Limit, "limit"), (GapReason::Unknown, "unknown")];

const LIMITS: [(LimitReached, &str); 2] = [(LimitReached::Total, "total"), (LimitReached::PerUser, "user")];

const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Delivered, "delivered"),
    (Outcome::NoSubscriber, "no_subscriber"),
    (Outcome::LanguageChosen, "language_chosen"),
    (Outcome::AccountChanged, "account_changed"),
    (Outcome::OtherType, "other_type"),
    (Outcome::Unreadable, "unreadable"),
];

const BUCKET_NAMES: [(Bucket, &str); 2] =
    [(Bucket::Bookmarks, "sse-resume"), (Bucket::Languages, "sse-languages")];

const FAILURES: [(AuthenticationFailure, &str); 6] = [
    (AuthenticationFailure::Missing, "missing"),
    (AuthenticationFailure::Rejected(TokenRejected::Invalid), "invalid"),
    (AuthenticationFailure::Rejected(TokenRejected::Expired), "expired"),
    (AuthenticationFailure::Rejected(TokenRejected::NoUser), "no_user"),
    (AuthenticationFailure::Rejected(TokenRejected::Scope), "scope"),
    (AuthenticationFailure::Rejected(TokenRejected::Revoked), "revoked"),
];

/// Of the latency, in seconds: from what nobody notices to what everybody does.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BucketLabel {
    bucket: &'static str,
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
            closed: family(sse, "connections_closed", "Streams that have ended, by reason", |index| Reason {
                reason: END_REASONS[index].1,
            }),
            received: family(
                sse,
                "events_received",
                "Messages from the bus, by what became of them",
                |index| OutcomeLabel { outcome: OUTCOMES[index].1 },
            ),
            translations_unreadable: add(
                sse,
                "unreadable_translations",
                "Translations of an event that were passed over",
            ),
            deliveries: add(sse, "deliveries", "Events that open streams were to take"),
            latency: Histogram::new(BUCKETS),
            latencies: Default::default(),
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
            unavailable: family(
                sse,
                "bucket_unavailable",
                "1 when a bucket on the bus has been out of reach for five seconds, else 0",
                |index| BucketLabel { bucket: BUCKET_NAMES[index].1 },
            ),
            refused: family(sse, "auth_failures", "Requests refused for their token, by reason", |index| {
                Reason { reason: FAILURES[index].1 }
            }),
            replayed: add(sse, "replayed_events", "Events that clients had missed and were given"),
            gaps: family(sse, "gaps", "Clients told that they have missed events, by reason", |index| {
                Reason { reason: GAPS[index].1 }
            }),
            limited: family(sse, "limit_refusals", "Streams refused because of a limit", |index| {
                LimitLabel { limit: LIMITS[index].1 }
            }),
            http: HttpFamilies::register(sse),
            registry: Mutex::default(),
        };
        sse.register(
            "delivery_latency_seconds",
            "From NATS taking an event to the last of its streams taking it for writing",
            metrics.latency.clone(),
        );
        *metrics.registry.lock() = registry;
        metrics
    }

    /// The counts of an HTTP server, which are told apart by the names of the `server` and of its `transport`.
    #[must_use]
    pub fn http_server(&self, server: &'static str, transport: &'static str) -> HttpServerMetrics {
        self.http.server(server, transport)
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

    fn set_open(&self, streams: usize, users: usize) {
        self.connections.set(i64::try_from(streams).unwrap_or(i64::MAX));
        self.users.set(i64::try_from(users).unwrap_or(i64::MAX));
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn histogram(
    registry: &mut Registry,
    name: &str,
    help: &str,
    buckets: impl IntoIterator<Item = f64>,
) -> Histogram {
    let histogram = Histogram::new(buckets);
    registry.register(name, help, histogram.clone());
    histogram
}

/// One metric for each value of a label, found again by its place instead of a look-up.
fn family<L, M, const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: impl Fn(usize) -> L,
) -> [M; N]
where
    M: Metric + TypedMetric + Clone + Default,
    L: EncodeLabelSet + Clone + Debug + Eq + std::hash::Hash + Send + Sync + 'static,
{
    let family = prometheus_client::metrics::family::Family::<L, M>::default();
    registry.register(name, help, family.clone());
    std::array::from_fn(|index| family.get_or_create(&label(index)).clone())
}

/// Counts one under the label's place in `labels`.
fn count<K: PartialEq, const N: usize>(counters: &[Counter; N], labels: &[(K, &str); N], key: &K) {
    let labelled = labels.iter().zip(counters).find(|((label, _), _)| label == key);
    if let Some((_, counter)) = labelled {
        counter.inc();
    }
}

impl Metrics for PrometheusMetrics {
    fn stream_opened(&self, streams: usize, users: usize) {
        self.set_open(streams, users);
        self.opened.inc();
    }

    fn stream_closed(&self, reason: EndReason, streams: usize, users: usize) {
        self.set_open(streams, users);
        count(&self.closed, &END_REASONS, &reason);
        if reason == EndReason::Slow {
            self.evictions.inc();
        }
    }

    fn event_received(&self, outcome: Outcome) {
        count(&self.received, &OUTCOMES, &outcome);
    }

    fn translations_unreadable(&self, translations: usize) {
        self.translations_unreadable.inc_by(translations as u64);
    }

    fn delivered(&self, streams: usize) {
        self.deliveries.inc_by(streams as u64);
    }

    fn delivery_completed(&self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        self.latency.observe(seconds);
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        self.latencies[bucket].fetch_add(1, Ordering::Relaxed);
    }

    fn replayed(&self) {
        self.replayed.inc();
    }

    fn gap_told(&self, reason: GapReason) {
        count(&self.gaps, &GAPS, &reason);
    }

    fn limit_reached(&self, limit: LimitReached) {
        count(&self.limited, &LIMITS, &limit);
    }

    fn bus_lag(&self, messages: u64) {
        self.lag.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    #[expect(clippy::cast_precision_loss, reason = "buckets are far apart")]
    fn lagging(&self, Lag { events, bytes }: Lag) {
        self.lag_events.observe(events as f64);
        self.lag_bytes.observe(bytes as f64);
    }

    fn keepalive_sent(&self) {
        self.keepalives.inc();
    }

    fn bus_connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    fn bucket_available(&self, bucket: Bucket, available: bool) {
        let gauges = BUCKET_NAMES.iter().zip(&self.unavailable);
        for (_, gauge) in gauges.filter(|((of, _), _)| *of == bucket) {
            gauge.set(i64::from(!available));
        }
    }

    fn authentication_failed(&self, reason: AuthenticationFailure) {
        count(&self.refused, &FAILURES, &reason);
    }
}

impl Measurements for PrometheusMetrics {
    fn figures(&self) -> Figures {
        let at_present = |gauge: &Gauge<i64, AtomicI64>| u64::try_from(gauge.get()).unwrap_or_default();
        let ours = [Outcome::Delivered, Outcome::NoSubscriber];
        let events = OUTCOMES.iter().zip(&self.received).filter(|((outcome, _), _)| ours.contains(outcome));
        let ended = END_REASONS.iter().zip(&self.closed).map(|((reason, _), count)| (*reason, count.get()));
        let latencies = self.latencies.iter().map(|count| count.load(Ordering::Relaxed));
        Figures {
            streams: at_present(&self.connections),
            users: at_present(&self.users),
            opened: self.opened.get(),
            ended: ended.collect(),
            events: events.map(|(_, count)| count.get()).sum(),
            deliveries: self.deliveries.get(),
            latency: Distribution::new(BUCKETS.map(Duration::from_secs_f64).to_vec(), latencies.collect()),
            bus_connected: self.connected.get() != 0,
            bus_lag: at_present(&self.lag),
        }
    }
}

#[cfg(test)]
mod tests {
    use ports::outbound::HttpMetrics as _;

    use super::*;

    #[test]
    fn http_servers_are_told_apart() {
        let metrics = PrometheusMetrics::new("1.2.3");
        let (public, debug) =
            (metrics.http_server("public", "tls"), metrics.http_server("debug", "plaintext"));
        public.connection_accepted(1);
        public.connection_accepted(2);
        public.connection_closed(1);
        public.connections_evicted(3);
        public.handshake_failed();
        public.request_timed_out();
        debug.write_timed_out();
        debug.answered("/healthz", 200);
        debug.answered("/healthz", 200);
        public.answered("none", 431);
        let page = metrics.render();
        for line in [
            "sse_http_connections{server=\"public\",transport=\"tls\"} 1",
            "sse_http_connections{server=\"debug\",transport=\"plaintext\"} 0",
            "sse_http_connections_accepted_total{server=\"public\",transport=\"tls\"} 2",
            "sse_http_connections_evicted_total{server=\"public\",transport=\"tls\"} 3",
            "sse_http_handshake_failures_total{server=\"public\",transport=\"tls\"} 1",
            "sse_http_request_timeouts_total{server=\"public\",transport=\"tls\"} 1",
            "sse_http_request_timeouts_total{server=\"debug\",transport=\"plaintext\"} 0",
            "sse_http_write_timeouts_total{server=\"debug\",transport=\"plaintext\"} 1",
            "sse_http_requests_total{server=\"debug\",route=\"/healthz\",status=\"200\"} 2",
            "sse_http_requests_total{server=\"public\",route=\"none\",status=\"431\"} 1",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn what_happens_is_shown_under_the_documented_names() {
        let metrics = PrometheusMetrics::new("1.2.3");
        metrics.stream_opened(1, 1);
        metrics.stream_opened(2, 1);
        metrics.stream_closed(EndReason::Slow, 1, 1);
        metrics.event_received(Outcome::Unreadable);
        metrics.delivered(5000);
        metrics.delivery_completed(Duration::from_millis(20));
        metrics.replayed();
        metrics.gap_told(GapReason::Limit);
        metrics.limit_reached(LimitReached::PerUser);
        metrics.bus_lag(7);
        metrics.keepalive_sent();
        metrics.bus_connected(true);
        metrics.bucket_available(Bucket::Languages, false);
        metrics.authentication_failed(AuthenticationFailure::Rejected(TokenRejected::Expired));
        let page = metrics.render();
        for line in [
            "sse_build_info{version=\"1.2.3\"} 1",
            "sse_connections 1",
            "sse_users 1",
            "sse_connections_opened_total 2",
            "sse_connections_closed_total{reason=\"slow\"} 1",
            "sse_connections_closed_total{reason=\"client\"} 0",
            "sse_queue_evictions_total 1",
            "sse_events_received_total{outcome=\"unreadable\"} 1",
            "sse_events_received_total{outcome=\"other_type\"} 0",
            "sse_deliveries_total 5000",
            "sse_delivery_latency_seconds_bucket{le=\"0.01\"} 0",
            "sse_delivery_latency_seconds_bucket{le=\"0.025\"} 1",
            "sse_bus_lag_messages 7",
            "sse_keepalives_total 1",
            "sse_bus_connected 1",
            "sse_bucket_unavailable{bucket=\"sse-languages\"} 1",
            "sse_bucket_unavailable{bucket=\"sse-resume\"} 0",
            "sse_auth_failures_total{reason=\"expired\"} 1",
            "sse_auth_failures_total{reason=\"scope\"} 0",
            "sse_replayed_events_total 1",
            "sse_gaps_total{reason=\"limit\"} 1",
            "sse_gaps_total{reason=\"expired\"} 0",
            "sse_limit_refusals_total{limit=\"user\"} 1",
            "sse_limit_refusals_total{limit=\"total\"} 0",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn who_looks_inside_reads_the_same() {
        let metrics = PrometheusMetrics::new("1.2.3");
        metrics.stream_opened(3, 2);
        metrics.stream_closed(EndReason::Administrator, 2, 1);
        for outcome in [Outcome::Delivered, Outcome::NoSubscriber, Outcome::OtherType, Outcome::Unreadable] {
            metrics.event_received(outcome);
        }
        metrics.delivered(7);
        metrics.delivery_completed(Duration::from_millis(10));
        metrics.delivery_completed(Duration::from_mins(1));
        metrics.bus_connected(true);
        metrics.bus_lag(5);
        let figures = metrics.figures();
        assert_eq!((figures.streams, figures.users, figures.opened), (2, 1, 1));
        let ended: Vec<_> = figures.ended.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(ended, [&(EndReason::Administrator, 1)]);
        assert_eq!((figures.events, figures.deliveries), (2, 7));
        assert_eq!((figures.bus_connected, figures.bus_lag), (true, 5));
        // Of the two the one is within (5 ms, 10 ms], the other beyond the last bound.
        assert_eq!(figures.latency.quantile(0.5), Some(Duration::from_millis(10)));
        assert_eq!(figures.latency.quantile(1.0), Some(Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn the_tasks_of_the_runtime_are_counted() {
        let metrics = PrometheusMetrics::new("1.2.3");
        let shows = |line: &str| {
            let page = metrics.render();
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        };
        let task = tokio::spawn(std::future::pending::<()>());
        shows("sse_tasks 1");
        task.abort();
        task.await.expect_err("aborted");
        shows("sse_tasks 0");
    }

    #[test]
    fn the_process_is_shown_as_other_programs_show_theirs() {
        let page = PrometheusMetrics::new("1.2.3").render();
        let value = |name: &str| -> f64 {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_cpu_seconds_total") >= 0.0);
        // Later than the first version of this program.
        assert!(value("process_start_time_seconds") > 1.7e9);
    }
}
