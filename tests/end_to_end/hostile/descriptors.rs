//! More connections than the process has file descriptors.

use futures_util::future::join_all;
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinSet};

use super::instance::{Instance, LEEWAY, within};
use crate::{
    client::{self, Stream},
    eventually,
    nats::Nats,
    service::token,
};

const DESCRIPTORS: u32 = 400;
const SILENT_CONNECTIONS: usize = 500;
/// Longer than an answer takes if it does not wait for silent connections to end.
const REQUEST_TIMEOUT: (&str, &str) = ("SSE_REQUEST_TIMEOUT", "8s");

#[tokio::test]
async fn silent_connections_leave_room() {
    let mut nats = Nats::start().await;
    let instance = Instance::start_with_descriptors(&nats, DESCRIPTORS, &[REQUEST_TIMEOUT]).await;
    let publisher = nats.publisher().await;
    let headers = [("x-access-token", &*token("einstein"))];
    let mut old = Stream::open(instance.http, "/sse", &headers).await;

    // Reconnects whenever the server closes the connection.
    let address = instance.http.address;
    let first = join_all((0..SILENT_CONNECTIONS).map(|_| TcpStream::connect(address))).await;
    let mut silent = JoinSet::new();
    for connection in first {
        silent.spawn(async move {
            let mut connection = connection;
            loop {
                if let Ok(connection) = &mut connection {
                    // Ends when the server closes the connection.
                    _ = connection.read(&mut [0]).await;
                }
                connection = TcpStream::connect(address).await;
            }
        });
    }
    let health = within("/healthz", LEEWAY, client::try_get(instance.debug, "/healthz")).await;
    assert_eq!(health, Ok(Some(200)));
    // A request waits behind them for its turn to be accepted.
    let mut new = Stream::open(instance.http, "/sse", &headers).await;
    publisher.event(&["einstein"], "t", "hello").await;
    for stream in [&mut old, &mut new] {
        assert_eq!(stream.content().await, "hello");
    }

    // The connection to NATS also needs a descriptor, which no client takes meanwhile.
    nats.kill().await;
    let readiness = async || client::get(instance.debug, "/readyz", &[]).await.status;
    eventually("not ready", async || readiness().await == 503).await;
    nats.up().await;
    instance.is_ready().await;
    nats.publisher().await.event(&["einstein"], "t", "again").await;
    for stream in [&mut old, &mut new] {
        assert_eq!(stream.content().await, "again");
    }
    let open = instance.descriptors().await.expect("metrics");
    assert!(open < f64::from(DESCRIPTORS), "{open}");
}
