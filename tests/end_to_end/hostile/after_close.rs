//! Bytes that a client sends after the server has ended the connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::instance::{Instance, LEEWAY, within};
use crate::{client::send_bytes, nats::Nats, transport::Connection};

/// Returns the TCP socket beneath a connection.
fn socket(connection: Connection) -> tokio::net::TcpStream {
    match connection {
        Connection::Left(socket) => socket,
        Connection::Right(encrypted) => encrypted.into_inner().0,
    }
}

#[tokio::test]
async fn bytes_do_no_harm() {
    let nats = Nats::start().await;
    let instance = Instance::start(&nats, &[]).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut connection = instance.http.connect().await.expect("connected");
        send_bytes(&mut connection, b"GET /sse HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        let read = connection.read_to_end(&mut answer);
        within("the end of the answer", LEEWAY, read).await.expect("in time").expect("a clean end");
        assert!(answer.starts_with(b"HTTP/1.1 401 "));
        // Over TLS these bytes are not a valid record.
        let mut socket = socket(connection);
        socket.write_all(&[b'x'; 1000]).await.expect("sent");
        clients.push(socket);
    }
    assert_eq!(instance.stops_cleanly().await, Ok(()));
}
