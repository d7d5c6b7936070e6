//! The stream limit of a user while ended streams cannot be closed on the wire.

use super::{
    flow_control::{SETTINGS, end_by_administrator},
    instance::{LEEWAY, WRITE_TIMEOUT, within},
};
use crate::{
    frames::{self, Client, HEADERS},
    nats::Nats,
    service::Service,
};

/// The first byte of a field block with status 200 (RFC 7541, A).
const STATUS_200: u8 = 0x88;

#[tokio::test]
async fn holds_on_the_wire() {
    const LIMIT: usize = 2;
    const ROUNDS: usize = 5;
    let nats = Nats::start().await;
    let settings = [&SETTINGS[..], &[("SSE_MAX_CONNECTIONS_PER_USER", "2")]].concat();
    let service = Service::start(&nats, &settings).await;
    let mut client = Client::connect_with(service.http, &frames::initial_window(0)).await;
    let (mut streams, mut open) = ((1..).step_by(2), Vec::new());
    for round in 0..ROUNDS {
        for stream in streams.by_ref().take(LIMIT) {
            client.follow(stream, "einstein").await;
            loop {
                let frame = client.next().await.expect("no end");
                open.retain(|open| *open != frame.stream || !frame.ends_stream());
                if frame.kind == HEADERS && frame.stream == stream {
                    assert_eq!(frame.payload[0], STATUS_200, "round {round}: {frame:?}");
                    open.push(stream);
                    break;
                }
            }
        }
        if round < ROUNDS - 1 {
            end_by_administrator(&service, "einstein").await;
        }
    }
    assert!(open.len() > LIMIT, "otherwise nothing is shown");
    let ended = async {
        while open.len() > LIMIT {
            let frame = client.next().await.expect("no end");
            open.retain(|open| *open != frame.stream || !frame.ends_stream());
        }
    };
    let in_time = within("the end of each stream", WRITE_TIMEOUT + LEEWAY, ended).await;
    assert_eq!(in_time, Ok(()), "open: {open:?}");
}
