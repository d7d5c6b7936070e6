//! Metrics of streams: open, lagging, silent, ended and rejected ones.

use domain::{bookmark::RequestId, keepalive::KeepalivePolicy, log::EndReason, revocation::AccountChange};
use ocis_sse::use_cases::Inspection;
use ports::inbound::Inspect as _;

use super::*;

const LAG_EVENTS: Histogram =
    Histogram { name: "sse_stream_lag_events", bounds: &[1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0] };
const LAG_BYTES: Histogram = Histogram {
    name: "sse_stream_lag_bytes",
    bounds: &[1024.0, 8192.0, 65_536.0, 524_288.0, 4_194_304.0, 33_554_432.0],
};

/// Returns `streams` requests of a user.
fn requests(name: &str, streams: usize) -> impl Iterator<Item = StreamRequest> {
    std::iter::repeat_n(request(name), streams)
}

#[tokio::test(start_paused = true)]
async fn open_streams_and_users_are_counted() {
    let mut service = Service::start(POLICY).await;
    let mut streams = service.open([request("a"), request("a"), request("b")]);
    service.changes(["sse_connections 3", "sse_connections_opened_total 3", "sse_users 2"]);
    streams.remove(0);
    service.changes(["sse_connections 2", r#"sse_connections_closed_total{reason="client"} 1"#]);
    streams.clear();
    service.changes([
        "sse_connections 0",
        r#"sse_connections_closed_total{reason="client"} 3"#,
        "sse_users 0",
    ]);
}

/// Each reason occurs a different number of times. Dropping the streams afterwards changes nothing.
#[tokio::test(start_paused = true)]
async fn ends_are_counted_once_by_reason() {
    let mut service = Service::start(StreamPolicy { max_age: Some(s(1000)), ..POLICY }).await;
    let no_streams = ["sse_connections 0".to_owned(), "sse_users 0".to_owned()];
    let ended = |reason: &str, times: usize| {
        [&no_streams[..], &[format!("sse_connections_closed_total{{reason=\"{reason}\"}} {times}")]].concat()
    };

    let mut streams = service.open(requests("a", 1));
    service.forget();
    streams.clear();
    service.changes(ended("client", 1));

    streams = service.open(requests("a", 2));
    service.forget();
    let (subscriptions, measurements) = (service.subscriptions.clone(), service.metrics.clone());
    assert_eq!(Inspection { subscriptions, measurements }.end_streams_of(&user("a")), 2);
    streams.clear();
    service.changes(ended("administrator", 2));

    let principal = Principal { expires_at: s(10), ..request("a").principal };
    let expiring = StreamRequest { principal, ..request("a") };
    streams = service.open(std::iter::repeat_n(expiring, 3));
    service.forget();
    tokio::time::advance(s(11)).await;
    service.sweep().await;
    streams.clear();
    service.changes(ended("expired", 3));

    streams = service.open(requests("a", 4));
    service.forget();
    tokio::time::advance(s(1001)).await;
    service.sweep().await;
    streams.clear();
    service.changes(ended("old_age", 4));

    streams = service.open(requests("a", 5));
    service.forget();
    for stream in &mut streams {
        stream.close(EndReason::WriteTimeout);
    }
    streams.clear();
    service.changes(ended("write_timeout", 5));

    streams = service.open(requests("a", 6));
    service.forget();
    let disabled = AccountChange { user: user("a"), is_enabled: false, changed_at: s(1000) };
    service.relay.handle(SourceEvent::AccountChanged(disabled));
    streams.clear();
    let changed = r#"sse_events_received_total{outcome="account_changed"} 1"#.to_owned();
    service.changes([ended("revoked", 6), vec![changed]].concat());

    streams = service.open(requests("b", 7));
    service.forget();
    service.publish(&["b"], "backchannel-logout", s(0));
    for stream in &mut streams {
        stream.take();
    }
    streams.clear();
    let delivered =
        [r#"sse_events_received_total{outcome="delivered"} 1"#.to_owned(), "sse_deliveries_total 7".into()];
    let latency = service.histogram(LATENCY, &[0.0]);
    service.changes([&ended("logout", 7)[..], &delivered, &latency].concat());

    // A newer stream with the same request id replaces the older one.
    let tab = RequestId::try_new("a tab").expect("a request id");
    streams =
        service.open(requests("b", 9).map(|request| StreamRequest { request: Some(tab.clone()), ..request }));
    service.forget();
    tokio::time::advance(s(6)).await;
    service.sweep().await;
    service.changes(["sse_connections 1", r#"sse_connections_closed_total{reason="replaced"} 8"#]);
    streams.clear();
    service.forget();

    streams = service.open(requests("b", 9));
    service.forget();
    service.subscriptions.drain(s(1)).await;
    streams.clear();
    service.changes(ended("stopping", 9));
}

#[tokio::test(start_paused = true)]
async fn rejections_are_counted_by_limit() {
    let limits = StreamLimits { total: 3, per_user: 2 };
    let mut service = Service::start(StreamPolicy { limits, ..POLICY }).await;
    let streams = service.open([request("a"), request("a"), request("b")]);
    service.forget();
    let rejected = |service: &Service, name: &str| assert!(service.try_open(request(name)).is_err());
    rejected(&service, "c");
    service.changes([r#"sse_limit_refusals_total{limit="total"} 1"#]);
    drop(streams);
    let _streams = service.open(requests("a", 2));
    service.forget();
    for _ in 0..2 {
        rejected(&service, "a");
    }
    service.changes([r#"sse_limit_refusals_total{limit="user"} 2"#]);
    // A shutdown is not counted as a limit.
    service.subscriptions.drain(s(0)).await;
    service.forget();
    rejected(&service, "c");
    service.changes(NOTHING);
}

#[tokio::test(start_paused = true)]
async fn lag_is_sampled_for_each_stream() {
    let mut service = Service::start(POLICY).await;
    let mut streams = service.open([request("lags"), request("reads")]);
    for stream in &mut streams {
        stream.take();
    }
    for _ in 0..2 {
        service.publish(&["lags", "reads"], "t", s(0));
    }
    streams[1].take();
    service.forget();
    // An event of 1 byte with a type of 1 byte. The other user counts only in the log.
    let bytes = f64::from(300 + 48 + 4);
    let lags = |service: &Service, looks: usize| {
        let events = service.histogram(LAG_EVENTS, &vec![2.0; looks]);
        [events, service.histogram(LAG_BYTES, &vec![2.0 * bytes; looks])].concat()
    };
    service.sweep().await;
    service.changes(lags(&service, 1));
    service.sweep().await;
    service.changes(lags(&service, 2));
    streams[0].take();
    service.forget();
    service.sweep().await;
    service.changes(NOTHING);
}

#[tokio::test(start_paused = true)]
async fn keepalives_count_silent_streams() {
    let keepalive = KeepalivePolicy::every(s(30));
    let log = LogLimits { max_age: Duration::ZERO, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { keepalive, log, ..POLICY }).await;
    let mut streams = service.open(requests("a", 3));
    service.forget();
    for stream in &mut streams {
        stream.take();
    }
    tokio::time::advance(s(29)).await;
    service.sweep().await;
    service.changes(NOTHING);
    tokio::time::advance(s(1)).await;
    service.sweep().await;
    service.changes(["sse_keepalives_total 3"]);
    service.sweep().await;
    service.changes(NOTHING);
}
