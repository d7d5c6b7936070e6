//! HTTP/2 frames, and a client that sends and receives them one by one.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    DEADLINE,
    client::send_bytes,
    service::token,
    transport::{Connection, Server},
};

// RFC 9113, 6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
/// The default window of a stream and of a connection (RFC 9113, 6.9.2).
pub(crate) const DEFAULT_WINDOW: usize = 65_535;
/// The connection preface of a client (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The identifier of `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113, 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Returns whether this frame ends the server's side of its stream.
    pub(crate) fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Returns the bytes of one frame, which need not be valid.
pub(crate) fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns the payload of a SETTINGS frame that sets the initial window of every stream.
pub(crate) fn initial_window(bytes: usize) -> Vec<u8> {
    let bytes = u32::try_from(bytes).expect("a window").to_be_bytes();
    [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &bytes].concat()
}

/// Returns the field block of a GET request for `path` with further fields.
pub(crate) fn get(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    request("GET", path, fields)
}

/// Returns the field block of a request, which does not change the decoder's table.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
    for (name, value) in pseudo.iter().chain(fields) {
        block.push(0);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    block
}

/// Appends a string literal without Huffman coding (RFC 7541, 5.2).
fn literal(block: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => block.push(u8::try_from(text.len()).expect("short")),
        Some(mut rest) => {
            block.push(127);
            while rest >= 128 {
                block.push(u8::try_from(rest % 128 + 128).expect("a byte"));
                rest /= 128;
            }
            block.push(u8::try_from(rest).expect("seven bits"));
        }
    }
    block.extend(text.as_bytes());
}

/// A client that sends only what a test tells it to.
pub(crate) struct Client(pub(crate) Connection);

impl Client {
    pub(crate) async fn connect(server: Server) -> Self {
        Self::connect_with(server, &[]).await
    }

    /// Connects, and sends `settings` in the first frame.
    pub(crate) async fn connect_with(server: Server, settings: &[u8]) -> Self {
        let mut client = Self(server.connect_for_http_2().await.expect("connected"));
        client.0.write_all(PREFACE).await.expect("sent");
        client.send(SETTINGS, 0, 0, settings).await;
        client
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        send_bytes(&mut self.0, &encode(kind, flags, stream, payload)).await;
    }

    /// Sends a complete GET request.
    pub(crate) async fn get(&mut self, stream: u32, path: &str, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &get(path, fields)).await;
    }

    /// Requests the event stream of `user`.
    pub(crate) async fn follow(&mut self, stream: u32, user: &str) {
        self.get(stream, "/sse", &[("x-access-token", &token(user))]).await;
    }

    /// Increases the window of a stream by `bytes`, or of the connection if `stream` is 0.
    pub(crate) async fn allow(&mut self, stream: u32, bytes: usize) {
        let bytes = u32::try_from(bytes).expect("a window");
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// Returns the next frame of the server; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let mut payload = vec![0; number(&head[..3]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
        };
        tokio::time::timeout(DEADLINE, read).await.expect("a frame in time")
    }
}
