//! A burst for clients that read at once: no stream misses an event.

use futures_util::future::join_all;

use super::{NO_TIMEOUT, SlowReader, contents, read_numbers};
use crate::{client::Stream, nats::Nats, service::Service};

/// Reads all events on all streams concurrently, and returns the open streams.
async fn read_on_each(streams: Vec<Stream>, events: usize) -> Vec<Stream> {
    let read = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            read_numbers(&mut stream, 0..events).await;
            stream
        })
    });
    join_all(read).await.into_iter().map(|stream| stream.expect("everything in order")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_reach_ten_readers() {
    const EVENTS: usize = 6000;
    let nats = Nats::start().await;
    // The tests share their cores: a reader can fall behind farther than the default log reaches.
    let settings = [&NO_TIMEOUT[..], &[("SSE_HISTORY_MAX_BYTES", "256MiB")]].concat();
    let service = Service::start(&nats, &settings).await;
    let users: Vec<_> = (0..10).map(|n| format!("user-{n}")).collect();
    let readers = join_all(users.iter().map(|user| service.follow(user))).await;
    let mut stalled = SlowReader::open(&service, "user-0").await;
    service.has_connections(11).await;

    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let publisher = nats.publisher().await;
    let publish = publisher.events(&users, "t", contents(0..EVENTS, 4096));
    let (_open, ()) = tokio::join!(read_on_each(readers, EVENTS), publish);
    stalled.resume();
    stalled.read_up_to(EVENTS).await;
    assert_eq!(service.metric("sse_connections").await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn reaches_hundreds_of_streams_of_one_user() {
    const STREAMS: usize = 500;
    const EVENTS: usize = 500;
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_MAX_CONNECTIONS_PER_USER", "500")]).await;
    let streams = join_all((0..STREAMS).map(|_| service.follow("einstein"))).await;
    let publisher = nats.publisher().await;
    let publish = publisher.events(&["einstein"], "t", contents(0..EVENTS, 0));
    let (_open, ()) = tokio::join!(read_on_each(streams, EVENTS), publish);
    service.counts("sse_deliveries_total", (STREAMS * EVENTS) as u64).await;
}
