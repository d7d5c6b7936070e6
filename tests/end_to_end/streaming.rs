//! The events and keepalives of a stream.

use serde_json::Value;

use crate::{
    client::Stream,
    eventually,
    nats::Nats,
    service::{Service, token},
};

const LONG_PATH: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

#[tokio::test]
async fn captured_messages_arrive_unchanged() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let mut einstein = service.follow("4c510ada-c86b-4815-8820-42cdf82c3d51").await;
    let mut marie = service.follow("f7fbf8c8-139b-4376-b307-cf0a8c2d0d9c").await;
    let publisher = nats.publisher().await;
    for line in include_str!("../wire/main-queue.jsonl").lines() {
        let captured: Value = serde_json::from_str(line).expect("JSON");
        publisher.message(captured["data"].as_str().expect("a message")).await;
    }

    let first = einstein.next().await.expect("an event");
    let id = first.field("id").expect("an id");
    let (incarnation, sequence) = id.split_once('-').expect("two parts");
    assert_eq!(sequence, "1");
    let shared = r#"{"notification_id":"f4f1","app":"userlog","user":"einstein","subject":"Resource shared","message":"Albert shared Résumé ✓ with you"}"#;
    assert_eq!(first.0, format!("id: {incarnation}-1\ndata: {shared}\nevent: userlog-notification\n\n"));
    let finished = r#"{"itemid":"s$a!b","parentitemid":"s$a!a","spaceid":"s$a","initiatorid":"init-1","etag":"\"x\"","affecteduserids":null}"#;
    let finished = format!("id: {incarnation}-2\ndata: {finished}\nevent: postprocessing-finished\n\n");
    assert_eq!(einstein.next().await.expect("an event").0, finished);
    assert_eq!(marie.next().await.expect("an event").0, finished);
    assert_eq!(
        einstein.next().await.expect("an event").0,
        format!(
            "id: {incarnation}-3\ndata: line one\ndata: line two\ndata: line three\ndata: line four\nevent: multi\n\n"
        )
    );
    assert_eq!(
        einstein.next().await.expect("an event").0,
        format!("id: {incarnation}-5\ndata: \nevent: empty\n\n")
    );
    eventually("three passed over", async || {
        service.metric(r#"sse_events_received_total{outcome="other_type"}"#).await == 3
    })
    .await;
}

#[tokio::test]
async fn stream_outlives_request_and_write_timeouts() {
    let nats = Nats::start().await;
    let deadlines = [("SSE_REQUEST_TIMEOUT", "1s"), ("SSE_WRITE_TIMEOUT", "1s")];
    let settings = [&deadlines[..], &[("SSE_KEEPALIVE_INTERVAL", "100ms")]].concat();
    let service = Service::start(&nats, &settings).await;
    let mut stream = service.follow("einstein").await;
    // For several times the deadlines.
    for _ in 0..40 {
        assert_eq!(stream.next().await.expect("a comment").0, ": keepalive\n\n");
    }
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    eventually("hello", async || stream.next().await.expect("open").field("data") == Some("hello".into()))
        .await;
    assert_eq!(service.metric("sse_connections").await, 1);
}

#[tokio::test]
async fn head_arrives_at_once_with_expected_headers() {
    let nats = Nats::start().await;
    for (root, path) in [("/", LONG_PATH), ("/", "/sse"), ("/some/where", "/some/where/sse")] {
        let service = Service::start(&nats, &[("SSE_HTTP_ROOT", root)]).await;
        let stream = Stream::open(service.http, path, &[("x-access-token", &token("einstein"))]).await;
        let header = |name: &str| stream.headers.get(name).map(|value| value.to_str().expect("ASCII"));
        assert_eq!(header("content-type"), Some("text/event-stream"));
        assert_eq!(header("cache-control"), Some("no-cache"));
        assert_eq!(header("x-accel-buffering"), Some("no"));
        assert_eq!(header("x-sse-version"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(header("vary"), Some("Origin"));
        assert_eq!(header("content-encoding"), None);
    }
}

#[tokio::test]
async fn http_1_1_stream_is_chunked() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    assert_eq!(service.follow("einstein").await.headers["transfer-encoding"], "chunked");
}

#[tokio::test]
async fn platforms_header_precedes_the_bearer_token() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let (einstein, marie) = (token("einstein"), token("marie"));
    let bearer = format!("Bearer {einstein}");
    let mut one = Stream::open(service.http, "/sse", &[("authorization", &bearer)]).await;
    let empty = [("authorization", &*bearer), ("x-access-token", "")];
    let mut again = Stream::open(service.http, "/sse", &empty).await;
    let both = [("authorization", &*bearer), ("x-access-token", &marie)];
    let mut other = Stream::open(service.http, "/sse", &both).await;
    let publisher = nats.publisher().await;
    publisher.event(&["einstein"], "t", "for einstein").await;
    publisher.event(&["marie"], "t", "for marie").await;
    assert_eq!(one.content().await, "for einstein");
    assert_eq!(again.content().await, "for einstein");
    assert_eq!(other.content().await, "for marie");
}

#[tokio::test]
async fn each_stream_gets_its_own_keepalive() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_KEEPALIVE_INTERVAL", "50ms")]).await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        tabs.push(service.follow("einstein").await);
    }
    for tab in &mut tabs {
        assert_eq!(tab.next().await.expect("a comment").0, ": keepalive\n\n");
    }
}

#[tokio::test]
async fn payloads_arrive_unchanged() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    let publisher = nats.publisher().await;
    // Rejected because it would inject fields.
    publisher.event(&["einstein"], "a\ndata: injected", "x").await;
    let large = "ä".repeat(250_000);
    for content in ["", ": no comment", "id: 7\n\ndata: x", &large] {
        publisher.event(&["einstein"], "t", content).await;
    }
    assert_eq!(stream.content().await, "");
    assert_eq!(stream.content().await, ": no comment");
    assert_eq!(stream.content().await, "id: 7\n\ndata: x");
    assert_eq!(stream.content().await, large);
    assert_eq!(service.metric(r#"sse_events_received_total{outcome="unreadable"}"#).await, 1);
}

#[tokio::test]
async fn last_stream_removes_the_user() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let streams = [service.follow("a").await, service.follow("a").await, service.follow("b").await];
    assert_eq!([service.metric("sse_connections").await, service.metric("sse_users").await], [3, 2]);
    drop(streams);
    eventually("all gone", async || {
        [service.metric("sse_connections").await, service.metric("sse_users").await] == [0, 0]
    })
    .await;
    assert_eq!(service.metric(r#"sse_connections_closed_total{reason="client"}"#).await, 3);
}

#[tokio::test]
async fn stream_of_some_types_skips_the_others() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let token = token("einstein");
    let headers = [("x-access-token", &*token)];
    let mut stream = Stream::open(service.http, "/sse?types=share-*,file-touched", &headers).await;
    let publisher = nats.publisher().await;
    for event_type in ["item-renamed", "share-created", "file-locked", "file-touched"] {
        publisher.event(&["einstein"], event_type, event_type).await;
    }
    assert_eq!(stream.content().await, "share-created");
    assert_eq!(stream.content().await, "file-touched");
    let invalid = crate::client::get(service.http, "/sse?types=*-created", &headers).await;
    assert_eq!(invalid.status, 400);
    assert!(invalid.body.contains("types: * is only allowed at the end"), "{}", invalid.body);
}
