//! A slow stream over HTTP/2: its client neither reads nor opens the stream's window.

use super::{EVENT_BYTES, FLOOD, NO_TIMEOUT, contents, pass_marker, read_numbers};
use crate::{
    frames::{ACK, Client, DATA, PING},
    nats::Nats,
    service::Service,
};

/// The only stream of its connection.
const STREAM: u32 = 1;

/// Reads the body of the stream and reopens its window until `end` has arrived.
async fn read_until(client: &mut Client, end: &str) -> String {
    let mut body = Vec::new();
    while !body.ends_with(end.as_bytes()) {
        let frame = client.next().await.expect("no end of the connection");
        assert!(!frame.ends_stream(), "the stream has ended: {frame:?}");
        match frame.kind {
            PING if frame.flags & ACK == 0 => client.send(PING, ACK, 0, &frame.payload).await,
            DATA if !frame.payload.is_empty() => {
                client.allow(STREAM, frame.payload.len()).await;
                client.allow(0, frame.payload.len()).await;
                body.extend(frame.payload);
            }
            _ => {}
        }
    }
    String::from_utf8(body).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_delay_others() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &NO_TIMEOUT).await;
    let mut slow = Client::connect(service.http).await;
    slow.follow(STREAM, "slow").await;
    let mut fast = service.follow("fast").await;
    service.has_connections(2).await;
    let publisher = nats.publisher().await;
    publisher.events(&["slow"], "t", contents(0..FLOOD, EVENT_BYTES)).await;
    publisher.events(&["fast"], "t", contents(0..10, 0)).await;
    read_numbers(&mut fast, 0..10).await;
    pass_marker(&publisher, "fast", &mut fast).await;

    publisher.event(&["slow"], "end", &FLOOD.to_string()).await;
    let body = read_until(&mut slow, "event: end\n\n").await;
    assert!(!body.contains("stream-gap"), "a gap, although everything fits the log");
    let contents = body.lines().filter_map(|line| line.strip_prefix("data: ")?.split(' ').next());
    let numbers: Vec<usize> = contents.map(|n| n.parse().expect("a number")).collect();
    assert_eq!(numbers, (0..=FLOOD).collect::<Vec<_>>());
    assert_eq!(service.metric("sse_connections").await, 2);
}
