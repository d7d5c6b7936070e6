//! Hostile connections to a server in this process, which closes each connection after a while and counts requests.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    process::Command,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::Mutex;
use rcgen::{CertifiedKey, KeyPair};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// The time after which the server closes a connection.
const CONNECTION_LIFETIME: Duration = Duration::from_millis(400);
const CONNECTIONS: u64 = 5;
/// The limit of concurrent streams with HTTP/2.
const STREAMS: u64 = 7;

/// The number of requests by version, method and path, without those of the ordinary client.
type Seen = Arc<Mutex<BTreeMap<String, u64>>>;

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, seen: Seen) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let has_token = request.headers().contains_key("x-access-token");
        let is_ordinary = request.headers().contains_key("connection");
        if !is_ordinary {
            let what = format!("{:?} {} {}", request.version(), request.method(), request.uri().path());
            *seen.lock().entry(what).or_default() += 1;
        }
        let body = if has_token {
            let silence = stream::pending::<Result<hyper::body::Frame<Bytes>, Infallible>>();
            Either::Left(StreamBody::new(silence))
        } else {
            Either::Right(Full::new(Bytes::from_static(b"no token")))
        };
        let mut response = Response::new(body.boxed());
        if !has_token {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        async { Ok::<_, Infallible>(response) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().max_concurrent_streams(u32::try_from(STREAMS).expect("few"));
    timeout(CONNECTION_LIFETIME, server.serve_connection(TokioIo::new(io), answer)).await.ok();
}

async fn server(tls: Option<TlsAcceptor>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let seen = Seen::default();
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let (tls, counted) = (tls.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                match tls {
                    None => serve(socket, counted).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = timeout(CONNECTION_LIFETIME, tls.accept(socket)).await {
                            serve(stream, counted).await;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

fn acceptor() -> TlsAcceptor {
    let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
        rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn bench(server: SocketAddr, options: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .args(["hostile", "--server", &server.to_string(), "--path", "/sse", "--events", "0"])
        .args(["--connections", &CONNECTIONS.to_string(), "--pid", &std::process::id().to_string()])
        .args(options);
    let output =
        tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Checks that the server gets `requests` from each connection of a kind, and that it closes all of them.
async fn check(kind: &str, requests: Option<(&str, u64)>) {
    let (address, seen) = server(None).await;
    let (status, report, error) = bench(address, &["--kind", kind, "--json"]).await;
    assert_eq!(status, Some(0), "{kind}: {report} {error}");
    let expected = requests.map(|(request, number)| (request.to_owned(), number * CONNECTIONS));
    assert_eq!(*seen.lock(), expected.into_iter().collect::<BTreeMap<_, _>>(), "{kind}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["kind"], kind);
    for (key, expected) in [("opened", CONNECTIONS), ("closed", CONNECTIONS), ("failed_requests", 0)] {
        assert_eq!(report[key], expected, "{kind}: {key}");
    }
    assert!(report["ordinary_requests"].as_u64().is_some_and(|requests| requests > 0), "{kind}: {report}");
    assert!(report["memory"]["peak"].as_f64() >= report["memory"]["before"].as_f64(), "{kind}: {report}");
    assert!(report["descriptors"]["after"].as_u64() > Some(0), "{kind}: {report}");
    // hyper itself closes a connection whose client has closed its sending side.
    if kind != "prefix" {
        let min = report["closed_after"]["min"].as_f64().expect("closed");
        assert!(min >= CONNECTION_LIFETIME.as_secs_f64() * 0.9, "{kind}: {report}");
    }
}

#[tokio::test]
async fn each_kind_sends_its_requests() {
    let (page, page2) = ("HTTP/1.1 GET /docs", "HTTP/2.0 GET /docs");
    tokio::join!(
        check("silent", None),
        check("prefix", None),
        check("head", None),
        check("trickle", None),
        check("body", Some(("HTTP/1.1 PUT /sse/language", 1))),
        check("unread", Some((page, 1))),
        check("stalled", Some(("HTTP/1.1 GET /sse", 1))),
        check("http2-silent", None),
        check("http2-head", None),
        check("http2-unread", Some((page2, STREAMS))),
        check("http2-stalled", Some(("HTTP/2.0 GET /sse", 1))),
        check("http2-ping", None),
    );
}

#[tokio::test]
async fn half_a_tls_handshake_is_held() {
    let (address, _) = server(Some(acceptor())).await;
    for options in [&["--kind", "handshake", "--tls"][..], &["--kind", "http2-silent", "--tls"]] {
        let (status, report, error) = bench(address, options).await;
        assert_eq!(status, Some(0), "{options:?}: {report} {error}");
        assert!(report.contains("closed         5 by the server, after 0."), "{options:?}: {report}");
        assert!(report.contains(" requests, 0 of them failed"), "{options:?}: {report}");
    }
}

#[tokio::test]
async fn missing_server_and_kind_are_errors() {
    let unused = StdListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let (status, _, error) = bench(unused, &["--kind", "silent"]).await;
    assert_eq!(status, Some(2));
    assert!(error.contains("refused"), "{error}");
    let (status, _, error) = bench(unused, &[]).await;
    assert_eq!(status, Some(2));
    assert!(error.contains("--kind"), "{error}");
}
