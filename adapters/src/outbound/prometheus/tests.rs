use std::time::Duration;

use ports::{
    obligations,
    outbound::{HttpMetrics as _, Measurements as _, Metrics as _, TokenRejected},
};

use super::*;

#[test]
fn http_servers_have_their_own_series() {
    let metrics = PrometheusMetrics::new("1.2.3");
    let (public, debug) = (
        metrics.http_server(Server::Public, Transport::Tls),
        metrics.http_server(Server::Debug, Transport::Plaintext),
    );
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
        assert!(page.lines().any(|sample| sample == line), "{line} is not in\n{page}");
    }
}

#[test]
fn metrics_have_the_documented_names() {
    let metrics = PrometheusMetrics::new("1.2.3");
    metrics.stream_opened(1, 1);
    metrics.stream_opened(2, 1);
    metrics.stream_closed(EndReason::WriteTimeout, 1, 1);
    metrics.event_received(Outcome::Unreadable);
    metrics.delivered(5000);
    metrics.delivery_completed(Duration::from_millis(20));
    metrics.replayed();
    metrics.gap_reported(GapReason::Limit);
    metrics.limit_reached(LimitReached::PerUser);
    metrics.nats_lag(7);
    metrics.keepalive_sent();
    metrics.nats_connected(true);
    metrics.bucket_available(Bucket::Languages, false);
    metrics.authentication_failed(AuthenticationFailure::Rejected(TokenRejected::Expired));
    let page = metrics.render();
    for line in [
        "sse_build_info{version=\"1.2.3\"} 1",
        "sse_connections 1",
        "sse_users 1",
        "sse_connections_opened_total 2",
        "sse_connections_closed_total{reason=\"write_timeout\"} 1",
        "sse_connections_closed_total{reason=\"client\"} 0",
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
        assert!(page.lines().any(|sample| sample == line), "{line} is not in\n{page}");
    }
}

#[test]
fn meets_the_obligations_of_its_port() {
    obligations::measurements(&PrometheusMetrics::new("1.2.3"));
}

#[test]
fn latency_quantiles_match_the_histogram() {
    let metrics = PrometheusMetrics::new("1.2.3");
    metrics.delivery_completed(Duration::from_millis(10));
    metrics.delivery_completed(Duration::from_mins(1));
    let latency = metrics.statistics().latency;
    // The first latency is in the bucket (5 ms, 10 ms], the second one above the last bound.
    assert_eq!(latency.quantile(0.5), Some(Duration::from_millis(10)));
    assert_eq!(latency.quantile(1.0), Some(Duration::from_secs(10)));
}

#[tokio::test]
async fn live_tasks_are_counted() {
    let metrics = PrometheusMetrics::new("1.2.3");
    let shows = |line: &str| {
        let page = metrics.render();
        assert!(page.lines().any(|sample| sample == line), "{line} is not in\n{page}");
    };
    let task = tokio::spawn(std::future::pending::<()>());
    shows("sse_tasks 1");
    task.abort();
    task.await.expect_err("aborted");
    shows("sse_tasks 0");
}

#[test]
fn process_metrics_are_exported() {
    let page = PrometheusMetrics::new("1.2.3").render();
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().expect("a number")
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_cpu_seconds_total") >= 0.0);
    // Later than November 2023.
    assert!(value("process_start_time_seconds") > 1.7e9);
}
