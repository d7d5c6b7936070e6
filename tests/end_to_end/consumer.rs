//! The consumer of the NATS stream, and outages that clients do not notice.

use std::time::Duration;

use async_nats::ConnectOptions;

use crate::{client::Stream, eventually, nats::Nats, program, service::Service};

async fn expect_numbers(stream: &mut Stream, contents: impl Iterator<Item = u32>) {
    for n in contents {
        assert_eq!(stream.content().await, n.to_string());
    }
}

/// Returns the number of consumers of the stream.
pub(crate) async fn consumers(nats: &Nats) -> usize {
    let publisher = nats.publisher().await;
    match publisher.jetstream.get_stream("main-queue").await {
        Ok(stream) => stream.cached_info().state.consumer_count,
        Err(_) => 0,
    }
}

/// Deletes all consumers, as an administrator can do at any time.
pub(crate) async fn delete_consumers(nats: &Nats) {
    let publisher = nats.publisher().await;
    let main_queue = publisher.jetstream.get_stream("main-queue").await.expect("the stream");
    let names = futures_util::StreamExt::collect::<Vec<_>>(main_queue.consumer_names()).await;
    for name in names {
        main_queue.delete_consumer(&name.expect("a name")).await.expect("deleted");
    }
}

#[tokio::test]
async fn stream_is_created_as_by_the_platform() {
    let nats = Nats::start().await;
    let _service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let stream = publisher.jetstream.get_stream("main-queue").await.expect("the stream");
    let config = &stream.cached_info().config;
    assert_eq!(config.subjects, ["main-queue"]);
    assert_eq!(config.storage, async_nats::jetstream::stream::StorageType::File);
    assert_eq!(config.retention, async_nats::jetstream::stream::RetentionPolicy::Limits);
    assert_eq!((config.max_bytes, config.max_messages, config.max_message_size), (-1, -1, -1));
    assert_eq!(config.max_age, Duration::ZERO);
}

#[tokio::test]
async fn reads_only_new_events_and_skips_invalid_ones() {
    let nats = Nats::start().await;
    drop(Service::start(&nats, &[]).await);
    let publisher = nats.publisher().await;
    publisher.event(&["einstein"], "t", "old").await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    for bad in ["", "no JSON", "{}", r#"{"Metadata":{"eventtype":"events.SendSSE"},"Payload":"?"}"#] {
        publisher.message(bad).await;
    }
    publisher.event(&["einstein"], "t", "new").await;
    assert_eq!(stream.content().await, "new");
    let unreadable = r#"sse_events_received_total{outcome="unreadable"}"#;
    assert_eq!(service.metric(unreadable).await, 4);
}

/// NATS does not deliver a message that is larger than the requested batch.
#[tokio::test]
async fn reads_a_message_larger_than_a_batch() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = directory.path().join("nats.conf");
    std::fs::write(&configuration, "max_payload: 16MB\n").expect("written");
    let arguments = ["-c", configuration.to_str().expect("Unicode")];
    let nats = Nats::start_with(&arguments, ConnectOptions::new).await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    // Base64 is applied twice, so that the message has more than 10 MiB.
    let content = "x".repeat(6 << 20);
    nats.publisher().await.event(&["einstein"], "t", &content).await;
    assert!(stream.content().await == content, "another content");
}

#[tokio::test]
async fn starts_without_nats_and_becomes_ready_with_it() {
    let mut nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let mut stream = service.follow("einstein").await;
    eventually("the reason", async || {
        let (status, reason) = service.readiness().await;
        status == 503 && reason.starts_with("NATS cannot be read: ")
    })
    .await;
    assert_eq!(service.metric("sse_bus_connected").await, 0);
    nats.up().await;
    service.is_ready().await;
    assert_eq!(service.metric("sse_bus_connected").await, 1);
    nats.publisher().await.event(&["einstein"], "t", "1").await;
    expect_numbers(&mut stream, 1..=1).await;
}

/// Kills the server and restarts it after `outage`. Each event is read once and in order.
async fn outage(outage: Duration) {
    let mut nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    let publisher = nats.publisher().await;
    publisher.events(&["einstein"], "t", (0..100).map(|n| n.to_string())).await;
    expect_numbers(&mut stream, 0..50).await;
    nats.kill().await;
    eventually("not ready", async || service.readiness().await.0 == 503).await;
    tokio::time::sleep(outage).await;
    nats.up().await;
    // Other services can publish before the service has reconnected.
    let publisher = nats.publisher().await;
    publisher.events(&["einstein"], "t", (100..200).map(|n| n.to_string())).await;
    service.is_ready().await;
    publisher.events(&["einstein"], "t", (200..300).map(|n| n.to_string())).await;
    expect_numbers(&mut stream, 50..300).await;
    publisher.event(&["einstein"], "t", "300").await;
    expect_numbers(&mut stream, 300..301).await;
    // The subscriptions would hide an event that is read twice; the counter does not.
    service.counts(r#"sse_events_received_total{outcome="delivered"}"#, 301).await;
    assert_eq!(service.metric(r#"sse_events_received_total{outcome="no_subscriber"}"#).await, 0);
}

#[tokio::test]
async fn short_outage_loses_and_duplicates_nothing() {
    outage(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn long_outage_loses_and_duplicates_nothing() {
    outage(Duration::from_secs(40)).await;
}

#[tokio::test]
async fn deleted_consumer_is_recreated_at_its_position() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    let publisher = nats.publisher().await;
    publisher.event(&["einstein"], "t", "0").await;
    expect_numbers(&mut stream, 0..1).await;
    delete_consumers(&nats).await;
    publisher.events(&["einstein"], "t", (1..50).map(|n| n.to_string())).await;
    expect_numbers(&mut stream, 1..50).await;
    // The subscriptions would hide an event that is read twice; the counter does not.
    service.counts(r#"sse_events_received_total{outcome="delivered"}"#, 50).await;
    assert_eq!(service.metric(r#"sse_events_received_total{outcome="no_subscriber"}"#).await, 0);
}

#[tokio::test]
async fn connects_to_any_server_of_a_cluster() {
    let nats = Nats::start().await;
    let servers = format!("127.0.0.1:1, {}", nats.address());
    let service = Service::start(&nats, &[("SSE_EVENTS_ENDPOINT", &servers)]).await;
    let mut stream = service.follow("einstein").await;
    nats.publisher().await.event(&["einstein"], "t", "1").await;
    expect_numbers(&mut stream, 1..2).await;
}

#[tokio::test]
async fn consumer_is_deleted_on_shutdown() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[]).await;
    assert_eq!(consumers(&nats).await, 1);
    service.stop();
    service.stopped().await;
    assert_eq!(consumers(&nats).await, 0);
}

#[tokio::test]
async fn consumer_expires_after_a_kill() {
    let nats = Nats::start().await;
    let program = program::server(&nats);
    eventually("a consumer", async || consumers(&nats).await == 1).await;
    // The process is killed on drop.
    drop(program);
    eventually("no consumer", async || consumers(&nats).await == 0).await;
}
