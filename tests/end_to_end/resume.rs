//! A client that reconnects gets the events it has missed.

use std::sync::Arc;

use serde_json::json;

use crate::{
    client::{Block, Stream},
    nats::{Nats, Publisher},
    service::{Service, token},
};

pub(crate) async fn publish(publisher: &Publisher, contents: std::ops::Range<u32>) {
    publisher.events(&["einstein"], "t", contents.map(|n| n.to_string())).await;
}

/// Reads numbered events, and returns the id of the last.
pub(crate) async fn expect_numbers(stream: &mut Stream, contents: std::ops::Range<u32>) -> String {
    let mut id = String::new();
    for n in contents {
        let event = stream.event().await;
        assert_eq!(event.field("data"), Some(n.to_string()));
        id = event.field("id").expect("an id");
    }
    id
}

async fn resume(service: &Service, last_event_id: &str) -> Stream {
    service.follow_with("einstein", &[("last-event-id", last_event_id)]).await
}

#[track_caller]
pub(crate) fn is_gap(event: &Block, last_event_id: &str, reason: &str) {
    assert_eq!(event.field("event").as_deref(), Some("stream-gap"));
    let data: serde_json::Value = serde_json::from_str(&event.field("data").expect("data")).expect("JSON");
    assert_eq!(data, json!({ "last_event_id": last_event_id, "reason": reason }));
}

#[tokio::test]
async fn stream_starts_with_an_event_id() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    publish(&nats.publisher().await, 0..1).await;
    service.has_read(1).await;
    let opening = service.follow("einstein").await.block().await.expect("an opening");
    let retry: u64 = opening.field("retry").expect("a time").parse().expect("a number");
    assert!((3000..=4500).contains(&retry), "{retry}");
    publish(&nats.publisher().await, 1..3).await;
    let mut stream = resume(&service, &opening.field("id").expect("an id")).await;
    expect_numbers(&mut stream, 1..3).await;

    let silent = [("SSE_RETRY", "0s"), ("SSE_HISTORY_MAX_AGE", "0s"), ("SSE_KEEPALIVE_INTERVAL", "10ms")];
    let service = Service::start(&nats, &silent).await;
    let first = service.follow("einstein").await.block().await.expect("a keepalive");
    assert_eq!(first.0, ": keepalive\n\n");
}

#[tokio::test]
async fn missed_events_precede_new_ones() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let [mut stream, mut other] = [service.follow("einstein").await, service.follow("einstein").await];
    publish(&publisher, 0..10).await;
    let id = expect_numbers(&mut stream, 0..5).await;
    drop(stream);
    publish(&publisher, 10..20).await;
    // These events have been read, so they cannot arrive as new ones.
    expect_numbers(&mut other, 0..20).await;
    let mut stream = resume(&service, &id).await;
    expect_numbers(&mut stream, 5..20).await;
    publish(&publisher, 20..30).await;
    expect_numbers(&mut stream, 20..30).await;

    // For clients that cannot set the header.
    let path = format!("/sse?last_event_id={id}");
    let headers = [("x-access-token", &*token("einstein"))];
    expect_numbers(&mut Stream::open(service.http, &path, &headers).await, 5..30).await;
    service.counts("sse_replayed_events_total", 15 + 25).await;
}

#[tokio::test]
async fn ids_hold_across_restarts_and_instances() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[]).await;
    let other = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let mut stream = service.follow("einstein").await;
    publish(&publisher, 0..10).await;
    // Most of the queue consists of events of other services.
    for _ in 0..100 {
        publisher.message(r#"{"Metadata":{"eventtype":"events.FileTouched"},"Payload":""}"#).await;
    }
    let id = expect_numbers(&mut stream, 0..10).await;
    service.stop();
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    service.stopped().await;
    publish(&publisher, 10..20).await;
    expect_numbers(&mut resume(&other, &id).await, 10..20).await;
    let again = Service::start(&nats, &[]).await;
    expect_numbers(&mut resume(&again, &id).await, 10..20).await;
}

#[tokio::test]
async fn unknown_event_ids_open_a_stream_with_a_gap() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_HISTORY_MAX_BYTES", "16KiB")]).await;
    let publisher = nats.publisher().await;
    let mut stream = service.follow("einstein").await;
    publish(&publisher, 0..1).await;
    let first = expect_numbers(&mut stream, 0..1).await;
    let mut last = first.clone();
    // The events of one batch fit the log.
    for n in 1..100 {
        publish(&publisher, n..n + 1).await;
        last = expect_numbers(&mut stream, n..n + 1).await;
    }

    let check = async |named: &str, reason: &str| {
        is_gap(&resume(&service, named).await.event().await, named, reason);
    };
    check(&first, "limit").await;
    check("7", "unknown").await;
    check("no id at all", "unknown").await;
    let (incarnation, sequence) = last.split_once('-').expect("an id");
    check(&format!("1-{sequence}"), "unknown").await;
    check(&format!("{incarnation}-1000000"), "unknown").await;
    assert_eq!(service.metric(r#"sse_gaps_total{reason="unknown"}"#).await, 4);

    let headers = format!("GET /sse HTTP/1.1\r\nhost: a\r\nx-access-token: {}\r\n", token("einstein"));
    let request = [headers.as_bytes(), b"last-event-id: \xff\r\n\r\n"].concat();
    let answer = crate::client::answer_until(service.http, &request, "event: stream-gap").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("unknown"), "{answer}");

    // After a gap all events in the log are sent.
    let mut stream = resume(&service, "7").await;
    publish(&publisher, 100..110).await;
    let gap = stream.event().await;
    expect_numbers(&mut stream, 100..110).await;
    expect_numbers(&mut resume(&service, &gap.field("id").expect("an id")).await, 100..110).await;
}

#[tokio::test]
async fn repeated_request_id_resumes_the_stream() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let tab = [("x-request-id", "8a1c0bfe-tab")];
    let mut stream = service.follow_with("einstein", &tab).await;
    publish(&publisher, 0..3).await;
    expect_numbers(&mut stream, 0..3).await;
    drop(stream);
    service.has_connections(0).await;
    publish(&publisher, 3..6).await;
    // Events that were written shortly before the end are sent again (at least once).
    expect_numbers(&mut service.follow_with("einstein", &tab).await, 0..6).await;
    let mut marie = service.follow_with("marie", &tab).await;
    publisher.event(&["marie"], "t", "first").await;
    assert_eq!(marie.content().await, "first", "the request id of another user is unrelated");
}

#[tokio::test]
async fn request_id_holds_across_restarts_and_instances() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[]).await;
    let other = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let tab = [("x-request-id", "8a1c0bfe-tab")];
    let mut stream = service.follow_with("einstein", &tab).await;
    publish(&publisher, 0..3).await;
    expect_numbers(&mut stream, 0..3).await;
    service.stop();
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    service.stopped().await;
    publish(&publisher, 3..6).await;
    let next = Service::start(&nats, &[]).await;
    expect_numbers(&mut next.follow_with("einstein", &tab).await, 0..6).await;
    next.has_connections(0).await;
    expect_numbers(&mut other.follow_with("einstein", &tab).await, 0..6).await;
}

/// Streams open and close while events are published as fast as NATS accepts them. Streams that start at the same
/// position get the same events.
#[tokio::test(flavor = "multi_thread")]
async fn joining_during_a_burst_loses_nothing() {
    const EVENTS: u32 = 5_000;
    const CLIENTS: usize = 40;
    let nats = Nats::start().await;
    // A connection counts for a moment after its client has closed it.
    let settings = [("SSE_MAX_CONNECTIONS_PER_USER", "1000")];
    let service = Arc::new(Service::start(&nats, &settings).await);
    let publisher = nats.publisher().await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let mut stream = service.follow("einstein").await;
                let mut id = stream.block().await.expect("an opening").field("id").expect("an id");
                let mut next = 0;
                // Each stream closes after another number of events, repeatedly.
                let stay = 37 + 11 * u32::try_from(client).expect("few");
                while next < EVENTS {
                    let until = (next + stay).min(EVENTS);
                    id = expect_numbers(&mut stream, next..until).await;
                    next = until;
                    stream = resume(&service, &id).await;
                }
                id
            })
        })
        .collect();
    service.has_connections(CLIENTS as u64).await;
    publish(&publisher, 0..EVENTS).await;
    let mut last = Vec::new();
    for client in clients {
        last.push(client.await.expect("each event once and in order"));
    }
    last.dedup();
    assert_eq!(last.len(), 1);
    assert_eq!(service.metric(r#"sse_connections_closed_total{reason="write_timeout"}"#).await, 0);
}
