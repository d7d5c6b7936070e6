//! The deadline of a request's head.

use std::time::Duration;

use futures_util::future::join_all;
use hyper::Version;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::instance::within;
use crate::{
    frames::{self, encode},
    nats::Nats,
    service::Service,
    transport::Server,
};

/// The deadline of a head.
const TIMEOUT: (&str, &str) = ("SSE_REQUEST_TIMEOUT", "3s");
/// The silence of a client before its first byte.
const BEGINS_AFTER: Duration = Duration::from_millis(2500);
/// Well before the end of a timeout that would start with the first byte.
const ENDS_BEFORE: Duration = Duration::from_millis(4500);
const BETWEEN_BYTES: Duration = Duration::from_millis(50);

/// The bytes that a client sends one by one.
#[derive(Clone, Copy, Debug)]
enum Head {
    Http1,
    Http2,
}

impl Head {
    /// Returns bytes that never complete a request head.
    fn bytes(self) -> Vec<u8> {
        let padding = "x".repeat(1000);
        match self {
            Self::Http1 => format!("GET /sse HTTP/1.1\r\nhost: a\r\nx: {padding}").into_bytes(),
            Self::Http2 => {
                let block = frames::get("/sse", &[("x", &padding)]);
                let settings = encode(frames::SETTINGS, 0, 0, &[]);
                let headers = encode(frames::HEADERS, frames::END_STREAM, 1, &block);
                [frames::PREFACE, &settings, &headers].concat()
            }
        }
    }

    /// Connects, is silent for most of the deadline (before the TLS handshake, if any), and then sends byte by byte
    /// until the server closes the connection.
    async fn trickle(self, server: Server) {
        let socket = TcpStream::connect(server.address).await.expect("connected");
        tokio::time::sleep(BEGINS_AFTER).await;
        let version = match self {
            Self::Http1 => Version::HTTP_11,
            Self::Http2 => Version::HTTP_2,
        };
        let Ok(connection) = server.connect_on(socket, version).await else { return };
        let (mut reads, mut writes) = tokio::io::split(connection);
        let mut answer = Vec::new();
        let trickle = async {
            for byte in self.bytes() {
                writes.write_all(&[byte]).await.ok();
                writes.flush().await.ok();
                tokio::time::sleep(BETWEEN_BYTES).await;
            }
        };
        tokio::select! {
            () = trickle => {}
            _ = reads.read_to_end(&mut answer) => {}
        }
    }
}

#[tokio::test]
async fn has_one_overall_deadline() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[TIMEOUT]);
    let debug = Server::from(service.debug);
    let clients = [
        (service.http, Head::Http1),
        (service.http, Head::Http2),
        (debug, Head::Http1),
        (debug, Head::Http2),
    ];
    let ends = clients.map(|(server, head)| async move {
        within(&format!("the end of {head:?} at {server:?}"), ENDS_BEFORE, head.trickle(server)).await
    });
    let late: Vec<_> = join_all(ends).await.into_iter().filter_map(Result::err).collect();
    assert!(late.is_empty(), "{late:#?}");
}
