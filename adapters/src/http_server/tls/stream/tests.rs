//! Tests of a stream with a client of rustls on a real socket.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::{JoinHandle, spawn_blocking},
};
use tokio_rustls::rustls::{
    ClientConnection, StreamOwned, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{
    super::{super::ConnectionHandle, test_client::Peers},
    *,
};

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Returns the server's end of a connection to a client that performs the handshake and then does `action`.
async fn accept<T: Send + 'static>(
    version: &'static SupportedProtocolVersion,
    action: impl FnOnce(Client) -> T + Send + 'static,
) -> (io::Result<TlsStream>, JoinHandle<T>) {
    let peers = Peers::with_versions(&[version]);
    let (_, mut connection) = peers.pair();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).expect("connected");
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).expect("a handshake");
        }
        action(StreamOwned::new(connection, socket))
    });
    let socket = Socket::new(listener.accept().await.expect("accepted").0, ConnectionHandle::default());
    (peers.acceptor.accept(socket).await, client)
}

/// With TLS 1.2 the client waits for the end of the server's handshake before it sends its request.
#[tokio::test]
async fn large_response_follows_the_request() {
    const BYTES: usize = 3_000_000;
    for version in [&TLS12, &TLS13] {
        let (stream, client) = accept(version, |mut client| {
            client.write_all(b"request").expect("sent");
            let mut response = Vec::new();
            client.read_to_end(&mut response).expect("a clean end");
            response
        })
        .await;
        let (mut stream, mut request) = (stream.expect("a handshake"), [0; 7]);
        stream.read_exact(&mut request).await.expect("received");
        assert_eq!(&request, b"request");
        let response: Vec<_> = (0..BYTES).map(|n| n.to_le_bytes()[1]).collect();
        stream.write_all(&response).await.expect("taken");
        stream.shutdown().await.expect("taken");
        assert!(client.await.expect("ended") == response, "{version:?}");
        assert_eq!((stream.records.capacity(), stream.received.plaintext.capacity()), (0, 0));
    }
}

#[tokio::test]
async fn end_without_an_alert_is_an_error() {
    let (stream, client) = accept(&TLS13, drop).await;
    client.await.expect("ended");
    let error = stream.expect("a handshake").read(&mut [0]).await.expect_err("no clean end");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

    let (stream, _client) = accept(&TLS13, |mut client| {
        client.conn.send_close_notify();
        client.flush().expect("sent");
        client
    })
    .await;
    assert_eq!(stream.expect("a handshake").read(&mut [0]).await.expect("a clean end"), 0);
}
