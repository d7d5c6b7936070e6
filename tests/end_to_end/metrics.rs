//! The values of metrics on `/metrics` after known events, as far as NATS, tokens and the HTTP server determine them.
//! `tests/metrics` covers the use cases.

use std::collections::BTreeSet;

use adapters::outbound::clock::SystemClock;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ports::outbound::Clock as _;
use serde_json::{Value, json};

use crate::{
    client::{self, Stream, get},
    eventually, eventually_ok,
    nats::{Nats, Publisher, envelope},
    proxy::Proxy,
    service::{Service, sample, token, token_with},
};

/// The samples of a service when they were last read.
struct Samples<'a> {
    service: &'a Service,
    seen: BTreeSet<String>,
}

impl<'a> Samples<'a> {
    async fn of(service: &'a Service) -> Self {
        Self { service, seen: samples(service).await }
    }

    /// Waits until exactly these samples have changed.
    async fn change<S: ToString>(&mut self, expected: impl IntoIterator<Item = S>) {
        let expected: BTreeSet<_> = expected.into_iter().map(|sample| sample.to_string()).collect();
        let mut now = BTreeSet::new();
        eventually_ok(async || {
            now = samples(self.service).await;
            let changed: BTreeSet<_> = now.difference(&self.seen).cloned().collect();
            if changed == expected { Ok(()) } else { Err(format!("{changed:#?} instead of {expected:#?}")) }
        })
        .await;
        self.seen = now;
    }
}

/// Returns all samples, without those that depend on the speed of the machine or on the number of reads.
async fn samples(service: &Service) -> BTreeSet<String> {
    const OTHERS: [&str; 5] = [
        "#",
        "process_",
        "sse_tasks ",
        "sse_delivery_latency_seconds_bucket",
        "sse_delivery_latency_seconds_sum",
    ];
    let page = get(service.debug, "/metrics", &[]).await.body;
    let samples = page.lines().filter(|line| !OTHERS.iter().any(|other| line.starts_with(other)));
    samples.filter(|line| !line.contains(r#"server="debug""#)).map(str::to_owned).collect()
}

/// Opens a stream of `user` and waits for its position. Events that are published earlier would be replayed.
async fn started(service: &Service, user: &str) -> Stream {
    let mut stream = service.follow(user).await;
    while stream.block().await.expect("it stays open").field("id").is_none() {}
    stream
}

/// Returns a sample of the public server's connections.
fn connections(service: &Service, name: &str, value: u32) -> String {
    let transport = if service.http.scheme() == "https" { "tls" } else { "plaintext" };
    format!("sse_http_{name}{{server=\"public\",transport=\"{transport}\"}} {value}")
}

/// Returns a sample of the public server's responses.
fn answers(route: &str, status: u16, value: u32) -> String {
    format!("sse_http_requests_total{{server=\"public\",route=\"{route}\",status=\"{status}\"}} {value}")
}

fn claims(key: &str, value: Value) -> Value {
    let mut claims = json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64, "iat": 1_000_000_000,
        "user": { "id": { "opaque_id": "einstein" } }, "scope": { "user": {} },
    });
    claims[key] = value;
    claims
}

async fn change_feature(publisher: &Publisher, name: &str, value: &str) {
    let features = json!([{ "Name": name, "Value": value, "OldValue": null }]);
    let event = json!({ "UserID": "einstein", "Features": features });
    publisher.message(&envelope("events.UserFeatureChanged", &event)).await;
}

/// Each reason occurs a different number of times.
#[tokio::test]
async fn rejected_tokens_are_counted_by_reason() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    change_feature(&nats.publisher().await, "accountEnabled", "false").await;
    let changed = r#"sse_events_received_total{outcome="account_changed"}"#;
    service.counts(changed, 1).await;
    let mut samples = Samples::of(&service).await;
    let (mut accepted, mut unauthorized) = (0, 0);
    for (times, reason, token) in [
        (1, "missing", String::new()),
        (2, "invalid", "nonsense".into()),
        (3, "expired", token_with(&claims("exp", json!(1_000_000_000)))),
        (4, "no_user", token_with(&claims("user", json!({})))),
        (5, "scope", token_with(&claims("scope", json!({ "publicshare:1": {} })))),
        (6, "revoked", token_with(&claims("aud", json!(["reva"])))),
    ] {
        for _ in 0..times {
            get(service.http, "/sse", &[("x-access-token", &*token)]).await;
        }
        accepted += times;
        let answered = if reason == "scope" {
            answers("/sse", 403, times)
        } else {
            unauthorized += times;
            answers("/sse", 401, unauthorized)
        };
        let rejected = format!("sse_auth_failures_total{{reason=\"{reason}\"}} {times}");
        samples
            .change([rejected, answered, connections(&service, "connections_accepted_total", accepted)])
            .await;
    }
}

/// Each outcome occurs a different number of times.
#[tokio::test]
async fn messages_are_counted_once_by_outcome() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let mut samples = Samples::of(&service).await;
    let mut streams = [started(&service, "marie").await, started(&service, "marie").await];
    samples
        .change([
            "sse_connections 2".to_owned(),
            "sse_connections_opened_total 2".into(),
            "sse_users 1".into(),
            connections(&service, "connections", 2),
            connections(&service, "connections_accepted_total", 2),
            answers("/sse", 200, 2),
        ])
        .await;

    let outcome =
        |outcome: &str, times: usize| format!("sse_events_received_total{{outcome=\"{outcome}\"}} {times}");
    publisher.event(&["marie", "nobody"], "t", "hello").await;
    for stream in &mut streams {
        assert_eq!(stream.content().await, "hello");
    }
    samples
        .change([
            outcome("delivered", 1),
            "sse_deliveries_total 2".into(),
            "sse_delivery_latency_seconds_count 1".into(),
        ])
        .await;
    for _ in 0..2 {
        publisher.event(&["nobody"], "t", "hello").await;
    }
    samples.change([outcome("no_subscriber", 2)]).await;
    for _ in 0..3 {
        publisher.message(&envelope("events.FileUploaded", &json!({}))).await;
    }
    samples.change([outcome("other_type", 3)]).await;
    for _ in 0..4 {
        publisher.message("no envelope").await;
    }
    samples.change([outcome("unreadable", 4)]).await;
    for _ in 0..5 {
        change_feature(&publisher, "preferredLanguage", "de").await;
    }
    samples.change([outcome("language_chosen", 5)]).await;
    for _ in 0..6 {
        change_feature(&publisher, "accountEnabled", "true").await;
    }
    samples.change([outcome("account_changed", 6)]).await;
    // The rest of the message is valid.
    let event = json!({
        "UserIDs": ["nobody"], "Type": "t", "Message": STANDARD.encode("Hello"), "Language": "en",
        "Messages": { "de": STANDARD.encode("Hallo"), "fr": "?", "it": "?" },
    });
    publisher.message(&envelope("events.SendSSE", &event)).await;
    samples.change([outcome("no_subscriber", 3), "sse_unreadable_translations_total 2".into()]).await;
    drop(streams);
    samples
        .change([
            "sse_connections 0".to_owned(),
            r#"sse_connections_closed_total{reason="client"} 2"#.into(),
            "sse_users 0".into(),
            connections(&service, "connections", 0),
        ])
        .await;
}

#[tokio::test]
async fn connections_and_answers_are_counted_once() {
    let nats = Nats::start().await;
    let settings = [("SSE_REQUEST_TIMEOUT", "2s"), ("SSE_WRITE_TIMEOUT", "2s"), ("SSE_SEND_BUFFER", "4KiB")];
    let service = Service::start(&nats, &settings).await;
    let _marie = started(&service, "marie").await;
    let mut samples = Samples::of(&service).await;
    let accepted = |times: u32| connections(&service, "connections_accepted_total", times);
    get(service.http, "/nowhere", &[]).await;
    samples.change([answers("other", 404, 1), accepted(2)]).await;
    client::exchange(service.http, b"GET /sse HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    samples.change([answers("none", 400, 1), accepted(3)]).await;
    // A malformed request gets a response, but is not counted as a request.
    client::exchange(service.http, b"nothing at all\r\n\r\n").await;
    samples.change([accepted(4)]).await;
    // This connection sends no request until its deadline passes.
    client::exchange(service.http, b"").await;
    samples.change([connections(&service, "request_timeouts_total", 1), accepted(5)]).await;
    // This client reads nothing until the write timeout passes.
    let stalled = client::stalled(service.http, &token("einstein")).await;
    service.has_connections(2).await;
    nats.publisher().await.event(&["einstein"], "t", &"x".repeat(500_000)).await;
    samples
        .change([
            "sse_connections_opened_total 2".to_owned(),
            r#"sse_connections_closed_total{reason="write_timeout"} 1"#.into(),
            r#"sse_events_received_total{outcome="delivered"} 1"#.into(),
            "sse_deliveries_total 1".into(),
            "sse_delivery_latency_seconds_count 1".into(),
            connections(&service, "write_timeouts_total", 1),
            accepted(6),
            answers("/sse", 200, 2),
        ])
        .await;
    drop(stalled);
}

/// The latency of an event includes its time in NATS.
#[tokio::test]
async fn latency_includes_the_time_on_nats() {
    let nats = Nats::start().await;
    let proxy = Proxy::to(nats.address().parse().expect("an address")).await;
    let settings =
        [("SSE_EVENTS_ENDPOINT", &*proxy.address.to_string()), ("SSE_KEEPALIVE_INTERVAL", "200ms")];
    let service = Service::start(&nats, &settings).await;
    let mut stream = started(&service, "einstein").await;
    proxy.blackhole(true);
    proxy.cut();
    service.counts("sse_bus_connected", 0).await;
    let before_publishing = SystemClock.now();
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    let after_publishing = SystemClock.now();
    for _ in 0..4 {
        assert_eq!(stream.next().await.expect("a comment").0, ": keepalive\n\n");
    }
    let waited = SystemClock.now() - after_publishing;
    proxy.blackhole(false);
    eventually("hello", async || stream.next().await.expect("open").field("data") == Some("hello".into()))
        .await;
    let taken = SystemClock.now() - before_publishing;
    let count: u64 = sample(service.debug, "sse_delivery_latency_seconds_count").await;
    let seconds: f64 = sample(service.debug, "sse_delivery_latency_seconds_sum").await;
    assert_eq!(count, 1);
    assert!(
        (waited.as_secs_f64()..=taken.as_secs_f64()).contains(&seconds),
        "{seconds} s of {waited:?} to {taken:?}"
    );
    eventually("connected", async || service.metric("sse_bus_connected").await == 1).await;
    assert_eq!(service.metric("sse_bus_lag_messages").await, 0);
}
