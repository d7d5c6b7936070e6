//! Connections that could keep the process from ending after SIGTERM.

use std::time::Duration;

use hyper::Version;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_util::either::Either;

use super::instance::{DRAIN_TIMEOUT, Instance, WRITE_TIMEOUT};
use crate::{
    frames::{self, encode},
    nats::Nats,
    transport::{Connection, Server},
};

/// Longer than the process may wait for anything.
const REQUEST_TIMEOUT: (&str, &str) = ("SSE_REQUEST_TIMEOUT", "60s");
const LONG_DRAIN_TIMEOUT: (&str, &str) = ("SSE_DRAIN_TIMEOUT", "60s");
/// The first bytes of a TLS record with a `ClientHello` (RFC 8446, 5.1).
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
const PUT: &[u8] = b"PUT /ocs/v2.php/apps/notifications/api/v1/notifications/sse/language HTTP/1.1\r\n\
    host: a\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{";

/// Opens a connection (with TLS if enabled and `version` is given), sends these bytes and nothing more.
async fn unfinished(server: Server, version: Option<Version>, bytes: &[u8]) -> Connection {
    let socket = TcpStream::connect(server.address).await.expect("connected");
    let mut connection = match version {
        None => Either::Left(socket),
        Some(version) => server.connect_on(socket, version).await.expect("encrypted"),
    };
    connection.write_all(bytes).await.expect("sent");
    connection.flush().await.expect("sent");
    connection
}

#[tokio::test]
async fn ends_despite_unfinished_clients() {
    let nats = Nats::start().await;
    let settings = encode(frames::SETTINGS, 0, 0, &[]);
    let head = encode(frames::HEADERS, frames::END_STREAM, 1, &frames::get("/sse", &[]));
    let (http_1_1, http_2) = (Some(Version::HTTP_11), Some(Version::HTTP_2));
    let mut late = Vec::new();
    for (what, version, bytes) in [
        ("a request head", http_1_1, &b"GET /sse HTTP/1.1\r\nhost:"[..]),
        ("a body", http_1_1, PUT),
        ("an idle connection", http_1_1, b"GET /docs HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("a connection with HTTP/2", http_2, frames::PREFACE),
        ("an idle connection with HTTP/2", http_2, &[frames::PREFACE, &settings].concat()),
        ("a head with HTTP/2", http_2, &[frames::PREFACE, &settings, &head].concat()),
    ] {
        let instance = Instance::start(&nats, &[REQUEST_TIMEOUT]).await;
        let connection = unfinished(instance.http, version, bytes).await;
        instance.answers().await.expect("it runs");
        if let Err(error) = instance.stop(DRAIN_TIMEOUT + WRITE_TIMEOUT).await {
            late.push(format!("{what}: {error}"));
        }
        drop(connection);
    }
    assert!(late.is_empty(), "{late:#?}");
}

/// A connection without a request does not delay the shutdown.
#[tokio::test]
async fn does_not_wait_for_a_handshake() {
    let nats = Nats::start().await;
    let mut late = Vec::new();
    for bytes in [b"", CLIENT_HELLO, b"P", &frames::PREFACE[..10]] {
        let instance = Instance::start(&nats, &[REQUEST_TIMEOUT, LONG_DRAIN_TIMEOUT]).await;
        let connection = unfinished(instance.http, None, bytes).await;
        instance.answers().await.expect("it runs");
        if let Err(error) = instance.stop(Duration::ZERO).await {
            late.push(format!("b\"{}\": {error}", bytes.escape_ascii()));
        }
        drop(connection);
    }
    assert!(late.is_empty(), "{late:#?}");
}
