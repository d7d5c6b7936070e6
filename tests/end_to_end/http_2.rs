//! HTTP/2 in the clear, as gateways speak it, down to its frames.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    PATIENCE,
    client::{self, say},
    line::Connection,
    nats::Nats,
    service::{Service, token},
};

// RFC 9113, 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACKNOWLEDGED: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 0x5;
/// What a client takes of a stream, and of all together, when it says nothing else (RFC 9113, 6.9.2).
const WINDOW: usize = 65_535;

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A client that knows that HTTP/2 is spoken, and does nothing by itself.
struct Client(Connection);

impl Client {
    async fn connect(service: &Service) -> Self {
        let mut client = Self(service.http.connect_for_http_2().await.expect("connected"));
        client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        client.send(SETTINGS, 0, 0, &[]).await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        say(&mut self.0, &frame).await;
    }

    async fn follow(&mut self, stream: u32, user: &str) {
        let mut head = vec![0x82, 0x86]; // GET, http
        for (name, value) in [(":path", "/sse"), (":authority", "a"), ("x-access-token", &token(user))] {
            head.push(0);
            literal(&mut head, name);
            literal(&mut head, value);
        }
        self.send(HEADERS, END_STREAM_AND_HEADERS, stream, &head).await;
    }

    /// Lets the server send so many bytes more: on a stream, or on all together where it is 0.
    async fn allow(&mut self, stream: u32, bytes: usize) {
        let bytes = u32::try_from(bytes).expect("a window");
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let mut payload = vec![0; number(&head[..3]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a frame in time")
    }

    /// Reads on until `frame` has come, answering pings. What comes is noted in `taken` by its stream.
    async fn until(&mut self, taken: &mut Taken, mut found: impl FnMut(&Frame, &Taken) -> bool) {
        loop {
            let frame = self.next().await.expect("no end");
            match frame.kind {
                PING if frame.flags & ACKNOWLEDGED == 0 => {
                    taken.pings += 1;
                    self.send(PING, ACKNOWLEDGED, 0, &frame.payload).await;
                }
                DATA => {
                    let reader = frame.stream == READER;
                    let stream = if reader { &mut taken.reader } else { &mut taken.stalled };
                    stream.extend(&frame.payload);
                    if reader && !frame.payload.is_empty() {
                        self.allow(READER, frame.payload.len()).await;
                        self.allow(0, frame.payload.len()).await;
                    }
                }
                RESET => panic!("{frame:?}"),
                _ => {}
            }
            if found(&frame, taken) {
                return;
            }
        }
    }
}

const STALLED: u32 = 1;
const READER: u32 = 3;

/// What has come.
#[derive(Default)]
struct Taken {
    stalled: Vec<u8>,
    reader: Vec<u8>,
    pings: usize,
}

fn has(bytes: &[u8], content: &str) -> bool {
    bytes.windows(content.len()).any(|window| window == content.as_bytes())
}

/// A text in a head, as it is (RFC 7541, 5.2).
fn literal(head: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => head.push(u8::try_from(text.len()).expect("short")),
        Some(rest) => {
            assert!((128..128 * 128).contains(&rest) || rest < 128, "not so long");
            head.push(127);
            if rest >= 128 {
                head.push(u8::try_from(rest % 128 + 128).expect("seven bits"));
            }
            head.push(u8::try_from(rest / if rest >= 128 { 128 } else { 1 }).expect("seven bits"));
        }
    }
    head.extend(text.as_bytes());
}

#[tokio::test]
async fn a_gateway_may_speak_http_2_in_the_clear_and_others_http_1_1() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let line = service.http.connect_for_http_2().await.expect("connected");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(line)).await;
    let (mut sender, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    let request =
        Request::get(format!("http://{}/sse", service.http)).header("x-access-token", token("einstein"));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    let mut other = service.follow("marie").await;
    nats.publisher().await.event(&["einstein", "marie"], "t", "hello").await;
    crate::tls::reads(&mut answer.into_body(), "hello").await;
    assert_eq!(other.content().await, "hello");
    // Its first letters are those of HTTP/2.
    let refused =
        client::raw(service.http, b"PROPFIND /sse HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
}

#[tokio::test]
async fn a_stream_that_is_not_read_starves_none_on_its_line_and_is_not_taken_for_dead() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_TCP_USER_TIMEOUT", "1s")]).await;
    let mut client = Client::connect(&service).await;
    client.allow(0, WINDOW).await;
    client.follow(STALLED, "stalled").await;
    client.follow(READER, "reader").await;
    service.has_connections(2).await;
    let publisher = nats.publisher().await;
    let (large, mut taken) = ("x".repeat(20_000), Taken::default());
    // More than its client takes of it, …
    publisher.events(&["stalled"], "t", (0..10).map(|n| format!("{n}-{large}"))).await;
    client.until(&mut taken, |_, taken| taken.stalled.len() == WINDOW).await;
    // … while its neighbour gets more than all of them may have together, …
    for n in 0..10 {
        publisher.event(&["reader"], "t", &format!("{n}-{large}")).await;
        client.until(&mut taken, |_, taken| has(&taken.reader, &format!("data: {n}-"))).await;
    }
    // … and the client says that it is there, again and again.
    let pings = taken.pings;
    client.until(&mut taken, |_, taken| taken.pings == pings + 3).await;
    assert_eq!(taken.stalled.len(), WINDOW);
    assert_eq!(service.metric("sse_connections").await, 2);
    // When it reads again, all of it is there.
    client.allow(STALLED, 1_000_000).await;
    client.allow(0, 1_000_000).await;
    for n in 0..10 {
        let whole = format!("data: {n}-{large}\n");
        if !has(&taken.stalled, &whole) {
            client.until(&mut taken, |_, taken| has(&taken.stalled, &whole)).await;
        }
    }
}

#[tokio::test]
async fn a_line_with_http_2_on_which_no_ping_is_answered_is_given_up() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_TCP_USER_TIMEOUT", "1s")]).await;
    let mut client = Client::connect(&service).await;
    client.follow(1, "einstein").await;
    service.has_connections(1).await;
    // The kernel acknowledges all that comes; the client does not.
    let mut asked = false;
    while let Some(frame) = client.next().await {
        asked |= frame.kind == PING;
    }
    assert!(asked);
    service.has_connections(0).await;
}

#[tokio::test]
async fn head_gets_no_body() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let stream = TokioIo::new(service.http.connect_for_http_2().await.expect("connected"));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    for (path, status) in [("/openapi.json", 200), ("/nothing", 404), ("/sse", 405)] {
        let uri = format!("http://{}{path}", service.http);
        let request = Request::head(uri).body(Empty::<Bytes>::new()).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        let length = response.headers().get("content-length").expect("a length").to_str().expect("ASCII");
        assert!(length.parse::<usize>().expect("a number") > 0, "{path}");
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert!(body.is_empty(), "{path}: {body:?}");
    }
}
