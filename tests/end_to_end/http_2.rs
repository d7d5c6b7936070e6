//! HTTP/2 in the clear, as reverse proxies use it, at the level of frames.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{
    client,
    frames::{self, ACK, Client, DATA, DEFAULT_WINDOW, Frame, GOAWAY, PING, RST_STREAM},
    nats::Nats,
    service::{Service, token},
};

impl Client {
    /// Reads until `found` accepts a frame, and answers pings. Records the frames in `taken`.
    async fn until(&mut self, taken: &mut Taken, mut found: impl FnMut(&Frame, &Taken) -> bool) {
        loop {
            let frame = self.next().await.expect("no end");
            match frame.kind {
                PING if frame.flags & ACK == 0 => {
                    taken.pings += 1;
                    self.send(PING, ACK, 0, &frame.payload).await;
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
                RST_STREAM => panic!("{frame:?}"),
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

/// The data that the client has received.
#[derive(Default)]
struct Taken {
    stalled: Vec<u8>,
    reader: Vec<u8>,
    pings: usize,
}

fn has(bytes: &[u8], content: &str) -> bool {
    bytes.windows(content.len()).any(|window| window == content.as_bytes())
}

#[tokio::test]
async fn proxy_can_use_http_2_in_the_clear() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let stream = service.http.connect_for_http_2().await.expect("connected");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    let request =
        Request::get(format!("http://{}/sse", service.http)).header("x-access-token", token("einstein"));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    let mut other = service.follow("marie").await;
    nats.publisher().await.event(&["einstein", "marie"], "t", "hello").await;
    crate::tls::read_until(&mut answer.into_body(), "hello").await;
    assert_eq!(other.content().await, "hello");
    // The first letters of this request are those of the HTTP/2 preface.
    let rejected =
        client::exchange(service.http, b"PROPFIND /sse HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await;
    assert!(rejected.starts_with("HTTP/1.1 405 "), "{rejected}");
}

#[tokio::test]
async fn unread_stream_does_not_starve_its_connection() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_TCP_USER_TIMEOUT", "4s")]).await;
    let mut client = Client::connect(service.http).await;
    client.allow(0, DEFAULT_WINDOW).await;
    client.follow(STALLED, "stalled").await;
    client.follow(READER, "reader").await;
    service.has_connections(2).await;
    let publisher = nats.publisher().await;
    let (large, mut taken) = ("x".repeat(20_000), Taken::default());
    // Publishes more than the client reads of this stream.
    publisher.events(&["stalled"], "t", (0..10).map(|n| format!("{n}-{large}"))).await;
    client.until(&mut taken, |_, taken| taken.stalled.len() == DEFAULT_WINDOW).await;
    // The neighbour gets more than the windows of all streams together.
    for n in 0..10 {
        publisher.event(&["reader"], "t", &format!("{n}-{large}")).await;
        client.until(&mut taken, |_, taken| has(&taken.reader, &format!("data: {n}-"))).await;
    }
    // The client answers pings meanwhile.
    let pings = taken.pings;
    client.until(&mut taken, |_, taken| taken.pings == pings + 3).await;
    assert_eq!(taken.stalled.len(), DEFAULT_WINDOW);
    assert_eq!(service.metric("sse_connections").await, 2);
    // When the client reads again, it gets everything.
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
async fn connection_without_ping_answers_is_closed() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_TCP_USER_TIMEOUT", "1s")]).await;
    let mut client = Client::connect(service.http).await;
    client.follow(1, "einstein").await;
    service.has_connections(1).await;
    // The kernel acknowledges all segments; the client answers no ping.
    let mut pinged = false;
    while let Some(frame) = client.next().await {
        pinged |= frame.kind == PING;
    }
    assert!(pinged);
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

#[tokio::test]
async fn stream_opened_across_goaway_is_served() {
    let nats = Nats::start().await;
    let settings =
        [("SSE_REQUEST_TIMEOUT", "1s"), ("SSE_WRITE_TIMEOUT", "1s"), ("SSE_KEEPALIVE_INTERVAL", "100ms")];
    let service = Service::start(&nats, &settings).await;
    let mut client = Client::connect(service.http).await;
    client.get(STALLED, "/nothing", &[]).await;
    while client.next().await.expect("no end").kind != GOAWAY {}
    // The server accepts streams until its ping is answered (RFC 9113, 6.8).
    client.follow(READER, "reader").await;
    let mut taken = Taken::default();
    // The stream stays open for several times the deadlines.
    client.until(&mut taken, |_, taken| taken.reader.len() > 40 * ": keepalive\n\n".len()).await;
    assert_eq!(service.metric("sse_connections").await, 1);
}

#[tokio::test]
async fn client_that_does_not_read_ends_by_the_write_timeout() {
    let nats = Nats::start().await;
    let settings = [("SSE_WRITE_TIMEOUT", "1s")];
    let service = Service::start(&nats, &settings).await;
    let mut client = Client::connect_with(service.http, &frames::initial_window(1 << 30)).await;
    client.allow(0, 1 << 30).await;
    client.follow(STALLED, "stalled").await;
    service.has_connections(1).await;
    // More than the socket buffers hold.
    let large = "x".repeat(20_000);
    nats.publisher().await.events(&["stalled"], "t", (0..50).map(|_| large.clone())).await;
    service.counts(r#"sse_connections_closed_total{reason="write_timeout"}"#, 1).await;
}
