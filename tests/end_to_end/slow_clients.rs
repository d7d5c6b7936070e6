//! A client that does not read, and a burst that everybody reads.

use std::time::Duration;

use crate::{
    client, eventually,
    nats::Nats,
    service::{Service, token},
};

/// The clients share their cores with all other tests: one that reads may well not come to it for a while.
const GRACE: (&str, &str) = ("SSE_SLOW_CLIENT_GRACE", "5s");

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_client_is_cut_and_costs_the_others_nothing() {
    const EVENTS: usize = 6000;
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[GRACE]).await;
    let mut readers = Vec::new();
    for n in 0..10 {
        readers.push(service.follow(&format!("user-{n}")).await);
    }
    let stalled = client::stalled(service.http, &token("user-0")).await;
    service.has_connections(11).await;

    let users: Vec<_> = (0..10).map(|n| format!("user-{n}")).collect();
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let publisher = nats.publisher().await;
    let padding = "x".repeat(4096);
    let publish = publisher.events(&users, "t", (0..EVENTS).map(|n| format!("{n} {padding}")));
    let read = async {
        let readers = readers.into_iter().map(|mut reader| {
            tokio::spawn(async move {
                for n in 0..EVENTS {
                    let content = reader.content().await;
                    assert_eq!(content.split(' ').next(), Some(&*n.to_string()));
                }
                reader
            })
        });
        let mut open = Vec::new();
        for reader in readers.collect::<Vec<_>>() {
            open.push(reader.await.expect("everything in order"));
        }
        open
    };
    let (_open, ()) = tokio::join!(read, publish);
    assert_eq!(service.metric(r#"sse_connections_closed_total{reason="slow"}"#).await, 1);
    assert_eq!(service.metric("sse_connections").await, 10);
    assert!(client::is_cut(stalled).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_cuts_nobody_who_reads() {
    const STREAMS: usize = 500;
    const EVENTS: usize = 500;
    let nats = Nats::start().await;
    let small = [
        ("SSE_QUEUE_MAX_EVENTS", "8"),
        ("SSE_QUEUE_TOTAL_MAX_BYTES", "2MiB"),
        ("SSE_MAX_CONNECTIONS_PER_USER", "500"),
        GRACE,
    ];
    let service = Service::start(&nats, &small).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(service.follow("einstein").await);
    }
    let publisher = nats.publisher().await;
    let publish = publisher.events(&["einstein"], "t", (0..EVENTS).map(|n| n.to_string()));
    let read = async {
        for reader in streams
            .into_iter()
            .map(|mut stream| {
                tokio::spawn(async move {
                    for n in 0..EVENTS {
                        assert_eq!(stream.content().await, n.to_string());
                    }
                })
            })
            .collect::<Vec<_>>()
        {
            reader.await.expect("everything in order");
        }
    };
    tokio::join!(read, publish);
    assert_eq!(service.metric("sse_queue_evictions_total").await, 0);
    service.counts("sse_deliveries_total", (STREAMS * EVENTS) as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_client_can_come_back_at_once() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_QUEUE_MAX_EVENTS", "2")]).await;
    let stalled = client::stalled(service.http, &token("einstein")).await;
    service.has_connections(1).await;
    let publisher = nats.publisher().await;
    let padding = "x".repeat(500_000);
    eventually("cut", async || {
        publisher.event(&["einstein"], "t", &padding).await;
        service.metric("sse_queue_evictions_total").await == 1
    })
    .await;
    let mut stream = service.follow("einstein").await;
    publisher.event(&["einstein"], "t", "again").await;
    eventually("again", async || stream.content().await == "again").await;
    assert!(tokio::time::timeout(Duration::from_secs(30), client::is_cut(stalled)).await.expect("in time"));
}
