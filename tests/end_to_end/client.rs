//! An HTTP client on a real socket.

use std::io::ErrorKind;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, body::Incoming};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::{
    DEADLINE,
    requests::{Requests, request_to},
    transport::{Connection, Server},
};

/// A complete response.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(crate) async fn get(server: impl Into<Server>, path: &str, headers: &[(&str, &str)]) -> Response {
    request(server, Method::GET, path, headers).await
}

pub(crate) async fn request(
    server: impl Into<Server>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    request_with(server, method, path, headers, "").await
}

/// Sends a request with a body.
pub(crate) async fn request_with(
    server: impl Into<Server>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    let (status, headers, body) = send_with(server, method, path, headers, body.into()).await;
    let body = tokio::time::timeout(DEADLINE, body.collect()).await.expect("in time").expect("a whole body");
    let body = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
    Response { status, headers, body }
}

/// Returns the status, or `None` if nothing answers.
pub(crate) async fn try_get(server: impl Into<Server>, path: &str) -> Option<u16> {
    let server = server.into();
    let mut requests = Requests::connect(server).await?;
    let request = request_to(server, Method::GET, path).body(Full::default()).ok()?;
    Some(requests.send(request).await.ok()?.status().as_u16())
}

/// Returns the body of a response, which need not be text.
pub(crate) async fn get_bytes(server: impl Into<Server>, path: &str, headers: &[(&str, &str)]) -> Bytes {
    let (status, _, body) = send(server, Method::GET, path, headers).await;
    assert_eq!(status, 200);
    tokio::time::timeout(DEADLINE, body.collect()).await.expect("in time").expect("a whole body").to_bytes()
}

/// Returns the status and headers of a response whose body need not end.
pub(crate) async fn head(
    server: impl Into<Server>,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap) {
    let (status, headers, _) = send(server, Method::GET, path, headers).await;
    (status, headers)
}

pub(crate) async fn send(
    server: impl Into<Server>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, Incoming) {
    send_with(server, method, path, headers, Bytes::new()).await
}

async fn send_with(
    server: impl Into<Server>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (u16, HeaderMap, Incoming) {
    let server = server.into();
    let connection = tokio::time::timeout(DEADLINE, server.connect()).await.expect("in time");
    send_on(connection.expect("connected"), server, method, path, headers, body).await
}

/// Sends a request on an open connection.
async fn send_on(
    connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    server: Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (u16, HeaderMap, Incoming) {
    let exchange = async {
        let mut requests = Requests::on(connection, server).await.expect("HTTP");
        let request = headers
            .iter()
            .fold(request_to(server, method, path), |request, (name, value)| request.header(*name, *value));
        requests.send(request.body(Full::new(body)).expect("a request")).await.expect("an answer")
    };
    let (head, body) = tokio::time::timeout(DEADLINE, exchange).await.expect("in time").into_parts();
    (head.status.as_u16(), head.headers, body)
}

/// An open event stream.
pub(crate) struct Stream {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    unread: Vec<u8>,
}

/// The lines of one event or one comment, as received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block(pub(crate) String);

impl Block {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| values.join("\n"))
    }
}

impl Stream {
    pub(crate) async fn open(server: impl Into<Server>, path: &str, headers: &[(&str, &str)]) -> Self {
        let (status, headers, body) = send(server, Method::GET, path, headers).await;
        assert_eq!(status, 200);
        Self { headers, body, unread: Vec::new() }
    }

    /// Opens a stream on an open connection.
    pub(crate) async fn open_on(
        connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        server: Server,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let (status, headers, body) =
            send_on(connection, server, Method::GET, path, headers, Bytes::new()).await;
        assert_eq!(status, 200);
        Self { headers, body, unread: Vec::new() }
    }

    /// Returns the next event or comment; `None` at a clean end. Skips blocks with only an id or a reconnection time.
    pub(crate) async fn next(&mut self) -> Option<Block> {
        loop {
            let block = self.block().await?;
            if !block
                .0
                .lines()
                .all(|line| line.is_empty() || line.starts_with("id: ") || line.starts_with("retry: "))
            {
                return Some(block);
            }
        }
    }

    /// Returns the text of the last comment, which a clean end must follow.
    pub(crate) async fn closing_comment(&mut self) -> String {
        let last = self.next().await.expect("a closing comment").0;
        assert_eq!(self.next().await, None, "a clean end");
        let comment = last.lines().find_map(|line| line.strip_prefix(": "));
        comment.unwrap_or_else(|| panic!("{last:?} is no comment")).to_owned()
    }

    /// Returns the next block up to an empty line; `None` at a clean end.
    pub(crate) async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\n\n") {
                let rest = self.unread.split_off(end + 2);
                let block = String::from_utf8(std::mem::replace(&mut self.unread, rest));
                return Some(Block(block.expect("UTF-8")));
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame()).await.expect("an event in time");
            let data = frame?.expect("no connection error").into_data().expect("data");
            self.unread.extend_from_slice(&data);
        }
    }

    /// Returns the data of the next event.
    pub(crate) async fn content(&mut self) -> String {
        self.event().await.field("data").expect("data")
    }

    /// Returns the next event.
    pub(crate) async fn event(&mut self) -> Block {
        let block = self.next().await.expect("one more event");
        assert!(block.field("data").is_some(), "{block:?} is no event");
        block
    }
}

/// Opens a client that sends its request and then never reads, with a small receive buffer.
pub(crate) async fn stalled(server: Server, token: &str) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut connection = server.connect_by(socket).await.expect("connected");
    let request = format!("GET /sse HTTP/1.1\r\nhost: test\r\nx-access-token: {token}\r\n\r\n");
    send_bytes(&mut connection, request.as_bytes()).await;
    connection
}

/// Sends bytes that need not be HTTP.
pub(crate) async fn send_bytes(connection: &mut Connection, bytes: &[u8]) {
    connection.write_all(bytes).await.expect("sent");
    connection.flush().await.expect("sent");
}

/// Reads up to the end of a connection; returns whether the server has reset it.
pub(crate) async fn is_reset(mut connection: Connection) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match tokio::time::timeout(DEADLINE, connection.read(&mut buffer)).await.expect("an end in time") {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// Sends bytes that need not be HTTP, and returns the response as soon as it contains `expected`.
pub(crate) async fn answer_until(server: Server, request: &[u8], expected: &str) -> String {
    let mut connection = server.connect().await.expect("connected");
    send_bytes(&mut connection, request).await;
    let mut answer = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&answer).contains(expected) {
            assert_ne!(connection.read_buf(&mut answer).await.expect("readable"), 0, "an end");
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("never: {expected}"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends bytes that need not be HTTP, and returns the response up to the end of the connection.
pub(crate) async fn exchange(server: Server, request: &[u8]) -> String {
    let mut connection = server.connect().await.expect("connected");
    send_bytes(&mut connection, request).await;
    let mut answer = Vec::new();
    // A connection that the server resets has answered as well.
    tokio::time::timeout(DEADLINE, connection.read_to_end(&mut answer)).await.expect("in time").ok();
    String::from_utf8_lossy(&answer).into_owned()
}
