//! Clients that send requests and do not read the responses.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{io::AsyncReadExt as _, net::TcpSocket};

use super::instance::{Instance, LEEWAY, WRITE_TIMEOUT, within};
use crate::{
    client::{Stream, get, send_bytes},
    eventually,
    frames::{self, Client},
    nats::Nats,
    service::token,
    transport::{Connection, Server},
};

/// A page of several megabytes.
const LARGE: &str = "/docs";
const REQUESTS_OF_A_CONNECTION: usize = 100;
/// Together their clients send more requests than may be in progress.
const CONNECTIONS: usize = 4096 / REQUESTS_OF_A_CONNECTION + 10;
const MAX_GROWTH: f64 = 32.0 * 1024.0 * 1024.0;

/// The window that stays closed.
#[derive(Clone, Copy, Debug)]
enum Unread {
    /// The HTTP/2 window of each stream: the client reads, but never opens it.
    Streams,
    /// The TCP window: the client does not read.
    Socket,
}

impl Unread {
    /// Opens a client that sends many requests.
    async fn send_requests(self, server: Server) -> Client {
        let window = match self {
            Self::Streams => 0,
            Self::Socket => 1 << 30,
        };
        let mut client = Client::connect_with(server, &frames::initial_window(window)).await;
        if let Self::Socket = self {
            client.allow(0, 1 << 30).await;
        }
        for stream in (1..).step_by(2).take(REQUESTS_OF_A_CONNECTION) {
            client.get(stream, LARGE, &[]).await;
        }
        client
    }
}

#[tokio::test]
async fn http_2_answers_take_little_memory() {
    let nats = Nats::start().await;
    let mut failures = Vec::new();
    for unread in [Unread::Streams, Unread::Socket] {
        let instance = Instance::start(&nats, &[]).await;
        get(instance.http, LARGE, &[]).await;
        let base = instance.idle_descriptors().await.expect("metrics");
        let before = instance.resident_bytes().await.expect("metrics");
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(unread.send_requests(instance.http).await);
        }
        eventually("accepted", async || instance.descriptors().await.is_ok_and(|open| open > base)).await;
        let mut most = before;
        let watched = async {
            loop {
                most = instance.resident_bytes().await?.max(most);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ended = async {
            let mut clients = clients;
            match unread {
                // The client reads the end of each stream, or of the connection.
                Unread::Streams => {
                    for client in &mut clients {
                        let mut ended = 0;
                        while let Some(frame) = client.next().await
                            && ended < REQUESTS_OF_A_CONNECTION
                        {
                            ended += usize::from(frame.ends_stream());
                        }
                    }
                    Ok(())
                }
                Unread::Socket => instance.descriptors_return_to(base).await,
            }
        };
        let outcome = tokio::select! {
            error = watched => error,
            ended = within("the end of all answers", WRITE_TIMEOUT * 2 + LEEWAY, ended) => ended.flatten(),
        };
        if let Err(error) = outcome {
            failures.push(format!("{unread:?}: {error}"));
        }
        if most > before + MAX_GROWTH {
            failures.push(format!("{unread:?}: {before} bytes became {most}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn do_not_block_streams() {
    let nats = Nats::start().await;
    let instance = Instance::start(&nats, &[("SSE_WRITE_TIMEOUT", "10s")]).await;
    get(instance.http, LARGE, &[]).await;
    let _clients = join_all((0..CONNECTIONS).map(|_| Unread::Streams.send_requests(instance.http))).await;
    let ordinary = async || get(instance.http, "/nothing", &[]).await.status;
    eventually("too many answers", async || ordinary().await == 503).await;
    let headers = [("x-access-token", &*token("einstein"))];
    let mut stream = Stream::open(instance.http, "/sse", &headers).await;
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");
    // The connections end in time although their clients stay.
    eventually("an answer", async || ordinary().await == 404).await;
}

/// Opens a client with a small receive buffer that sends `times` requests on one connection, and reads nothing.
async fn send_requests(server: Server, path: &str, times: usize) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut connection = server.connect_by(socket).await.expect("connected");
    send_bytes(&mut connection, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").repeat(times).as_bytes())
        .await;
    connection
}

#[tokio::test]
async fn unread_http_1_1_answer_is_cut() {
    let nats = Nats::start().await;
    let instance = Instance::start(&nats, &[]).await;
    let debug = Server::from(instance.debug);
    let mut failures = Vec::new();
    for (server, path, times) in
        [(instance.http, LARGE, 1), (instance.http, LARGE, 5), (debug, "/metrics", 100)]
    {
        let whole = get(server, path, &[]).await.body.len() * times;
        let base = instance.idle_descriptors().await.expect("metrics");
        let mut connection = send_requests(server, path, times).await;
        eventually("accepted", async || instance.descriptors().await.is_ok_and(|open| open > base)).await;
        if let Err(error) = instance.descriptors_return_to(base).await {
            failures.push(format!("{times} of {path}: {error}"));
        }
        // Only the bytes in the socket buffers arrive before the end.
        let mut rest = Vec::new();
        let read = connection.read_to_end(&mut rest);
        within("the end of the connection", LEEWAY, read).await.expect("in time").ok();
        if rest.len() >= whole {
            failures.push(format!("{times} of {path}: all of it came"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
