//! Streams over every transport, with a server in this process that counts connections and requests.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response, Version,
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{CertifiedKey, KeyPair};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::Sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

const EVENTS: u64 = 3;

/// A stream of all events, each after a comment, which does not end.
struct Stream {
    next: u64,
    /// When the last event is sent again.
    again: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Returns the frame of the event with this number.
    fn event(number: u64) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = json!({ "number": number, "published": 1 });
        let frame = format!(": keepalive\n\nid: {number}\ndata: {event}\nevent: bench\n\n");
        Poll::Ready(Some(Ok(Frame::data(frame.into()))))
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next < EVENTS {
            self.next += 1;
            return Self::event(self.next - 1);
        }
        let Some(again) = &mut self.again else { return Poll::Pending };
        ready!(again.as_mut().poll(context));
        self.again = None;
        Self::event(EVENTS - 1)
    }
}

/// The counts of the server.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    http_1_1: AtomicUsize,
    http_2: AtomicUsize,
}

impl Seen {
    async fn serve(self: Arc<Self>, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let answer = service_fn(|request: Request<Incoming>| {
            assert!(request.headers().contains_key("x-access-token"));
            let again = match request.uri().path() {
                "/once" => None,
                "/again" => Some(Box::pin(tokio::time::sleep(Duration::from_millis(50)))),
                path => panic!("{path}"),
            };
            let asked = match request.version() {
                Version::HTTP_2 => &self.http_2,
                _ => &self.http_1_1,
            };
            asked.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(Response::new(Stream { next: 0, again })) }
        });
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(connection), answer)
            .await
            .ok();
    }

    fn all(&self) -> [usize; 3] {
        [&self.connections, &self.http_1_1, &self.http_2].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Starts a server that offers these protocols over TLS, or plain TCP.
async fn server(protocols: Option<&[&[u8]]>) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let seen = Arc::new(Seen::default());
    let (tls, counted) = (protocols.map(acceptor), Arc::clone(&seen));
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.expect("a connection");
            counted.connections.fetch_add(1, Ordering::Relaxed);
            let (tls, counted) = (tls.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                match tls {
                    None => counted.serve(connection).await,
                    Some(tls) => {
                        if let Ok(connection) = tls.accept(connection).await {
                            counted.serve(connection).await;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

fn acceptor(protocols: &[&[u8]]) -> TlsAcceptor {
    let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
        rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a configuration");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn bench(server: SocketAddr, options: &'static [&'static str]) -> (Option<i32>, String, String) {
    let bench = move || {
        Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["listen", "--users", "25", "--events", &EVENTS.to_string()])
            .args(["--json", "--server", &server.to_string()])
            .args(options)
            .output()
            .expect("it runs")
    };
    let output = tokio::task::spawn_blocking(bench).await.expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn check(protocols: Option<&[&[u8]]>, options: &'static [&'static str], seen: [usize; 3]) {
    let (address, counted) = server(protocols).await;
    let (status, report, error) = bench(address, options).await;
    assert_eq!(status, Some(0), "{options:?}: {report} {error}");
    let lines: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0], json!({ "open": 25 }), "{options:?}");
    for (key, expected) in [("streams", 25), ("arrived", 75), ("out_of_order", 0), ("lost_streams", 0)] {
        assert_eq!(lines[1][key], expected, "{options:?}: {key}");
    }
    assert_eq!(counted.all(), seen, "{options:?}: lines, and requests with HTTP/1.1 and with HTTP/2");
}

#[tokio::test]
async fn streams_open_over_each_transport() {
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    check(None, &["--path", "/once"], [25, 25, 0]).await;
    check(None, &["--path", "/once", "--http2", "--streams-per-connection", "10"], [3, 0, 25]).await;
    check(Some(both), &["--path", "/once", "--tls"], [25, 25, 0]).await;
    check(Some(both), &["--path", "/once", "--tls", "--http2", "--streams-per-connection", "10"], [3, 0, 25])
        .await;
    check(Some(both), &["--path", "/once", "--tls", "--http2"], [1, 0, 25]).await;
}

#[tokio::test]
async fn trailing_duplicate_is_reported() {
    let (address, _) = server(None).await;
    let (status, report, _) = bench(address, &["--path", "/again"]).await;
    assert_eq!(status, Some(1));
    let report: Value = serde_json::from_str(report.lines().nth(1).expect("a report")).expect("JSON");
    assert_eq!((&report["arrived"], &report["out_of_order"]), (&json!(75), &json!(25)));
}

#[tokio::test]
async fn unsupported_protocol_is_an_error() {
    let (address, _) = server(Some(&[])).await;
    let (status, _, error) = bench(address, &["--tls", "--http2"]).await;
    assert_eq!(status, Some(2));
    assert!(error.contains("the server does not speak HTTP/2 over TLS"), "{error}");
    let (address, _) = server(None).await;
    let (status, _, error) = bench(address, &["--tls"]).await;
    assert_eq!(status, Some(2));
    assert!(error.contains("the TLS handshake failed"), "{error}");
}
