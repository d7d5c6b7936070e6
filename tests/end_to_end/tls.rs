//! The public server with TLS.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    client::TlsStream,
    rustls::{RootCertStore, pki_types::CertificateDer},
};

use crate::{
    DEADLINE, eventually,
    nats::Nats,
    service::{Service, token},
    transport::connector,
};

/// A certificate for 127.0.0.1 and its key in files.
pub(crate) struct Files {
    directory: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the certificate, and returns the roots that trust the new one.
    pub(crate) fn renew(&self) -> RootCertStore {
        let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        fs::write(self.path("key"), signing_key.serialize_pem()).expect("written");
        fs::write(self.path("certificate"), cert.pem()).expect("written");
        roots(cert.der().clone())
    }

    async fn serve(&self, nats: &Nats) -> Service {
        self.serve_with(nats, &[]).await
    }

    async fn serve_with(&self, nats: &Nats, further: &[(&str, &str)]) -> Service {
        let [certificate, key] = ["certificate", "key"].map(|name| self.path(name));
        let settings = [
            ("OCIS_HTTP_TLS_ENABLED", "true"),
            ("OCIS_HTTP_TLS_CERTIFICATE", certificate.to_str().expect("Unicode")),
            ("OCIS_HTTP_TLS_KEY", key.to_str().expect("Unicode")),
        ];
        let settings: Vec<_> = settings.iter().chain(further).copied().collect();
        Service::start(nats, &settings).await
    }
}

/// A short write timeout.
const WRITE_TIMEOUT: (&str, &str) = ("SSE_WRITE_TIMEOUT", "2s");

fn roots(certificate: CertificateDer<'static>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    roots
}

/// Opens a connection with `protocol`; `None` if the server is not trusted.
async fn connect(service: &Service, roots: &RootCertStore, protocol: &[u8]) -> Option<TlsStream<TcpStream>> {
    let address = service.http.address;
    let stream = TcpStream::connect(address).await.expect("connected");
    let stream = connector(roots, protocol).connect(address.ip().into(), stream).await.ok()?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    Some(stream)
}

fn request(service: &Service, user: &str) -> Request<Empty<Bytes>> {
    let uri = format!("https://{}/sse", service.http);
    let request = Request::get(uri).header("host", "a").header("x-access-token", token(user));
    request.body(Empty::new()).expect("a request")
}

/// Reads until `content` arrives.
pub(crate) async fn read_until(body: &mut Incoming, content: &str) {
    let mut read = String::new();
    while !read.contains(&format!("data: {content}\n")) {
        let frame = tokio::time::timeout(DEADLINE, body.frame()).await.expect("in time");
        let data = frame.expect("no end").expect("no broken end").into_data().expect("data");
        read += str::from_utf8(&data).expect("UTF-8");
    }
}

#[tokio::test]
async fn http_1_1_is_served() {
    let (nats, files) = (Nats::start().await, Files::new());
    let roots = files.renew();
    let service = files.serve(&nats).await;
    let stream = connect(&service, &roots, b"http/1.1").await.expect("a known server");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let answer = sender.send_request(request(&service, "einstein")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    read_until(&mut answer.into_body(), "hello").await;
}

#[tokio::test]
async fn stalled_and_gone_clients_are_noticed() {
    let (nats, files) = (Nats::start().await, Files::new());
    let roots = files.renew();
    let service = files.serve_with(&nats, &[WRITE_TIMEOUT]).await;
    let open = async || {
        let stream = connect(&service, &roots, b"http/1.1").await.expect("a known server");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request(&service, "einstein")).await.expect("an answer");
        (connection, answer.into_body())
    };
    let (connection, _unread) = open().await;
    let publisher = nats.publisher().await;
    let large = "x".repeat(200_000);
    eventually("ended", async || {
        publisher.event(&["einstein"], "t", &large).await;
        service.metric(r#"sse_connections_closed_total{reason="write_timeout"}"#).await == 1
    })
    .await;
    service.has_connections(0).await;
    connection.abort();
    let (connection, _body) = open().await;
    service.has_connections(1).await;
    connection.abort();
    service.has_connections(0).await;
}

#[tokio::test]
async fn http_2_streams_of_a_connection_end_independently() {
    let (nats, files) = (Nats::start().await, Files::new());
    let roots = files.renew();
    let service = files.serve_with(&nats, &[WRITE_TIMEOUT]).await;
    let stream = connect(&service, &roots, b"h2").await.expect("a known server");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    let mut bodies = Vec::new();
    for n in 0..60 {
        let request = request(&service, &format!("user-{n}"));
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        bodies.push(answer.into_body());
    }
    let mut stalled = bodies.remove(0);
    let publisher = nats.publisher().await;
    // The first client does not read until its stream ends.
    let large = "x".repeat(200_000);
    eventually("ended", async || {
        publisher.event(&["user-0"], "t", &large).await;
        service.metric(r#"sse_connections_closed_total{reason="write_timeout"}"#).await == 1
    })
    .await;
    // Its stream ends with RST_STREAM.
    let end = async {
        while let Some(frame) = stalled.frame().await {
            if frame.is_err() {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(DEADLINE, end).await.expect("in time"));
    // The other streams are not affected.
    let others: Vec<_> = (1..60).map(|n| format!("user-{n}")).collect();
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    publisher.event(&others, "t", "hello").await;
    for body in &mut bodies {
        read_until(body, "hello").await;
    }
}

#[tokio::test]
async fn http_2_connection_ends_only_when_idle() {
    let (nats, files) = (Nats::start().await, Files::new());
    let roots = files.renew();
    let service = files.serve_with(&nats, &[("SSE_REQUEST_TIMEOUT", "1s")]).await;
    let open = async || {
        let stream = connect(&service, &roots, b"h2").await.expect("a known server");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        (sender, tokio::spawn(connection))
    };
    let (mut sender, busy) = open().await;
    let answer = sender.send_request(request(&service, "einstein")).await.expect("an answer");
    // Three idle connections end, each after more than the timeout.
    for _ in 0..3 {
        let (_sender, idle) = open().await;
        tokio::time::timeout(DEADLINE, idle).await.expect("an end in time").expect("no panic").ok();
    }
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    let mut body = answer.into_body();
    read_until(&mut body, "hello").await;
    drop(body);
    tokio::time::timeout(DEADLINE, busy).await.expect("an end in time").expect("no panic").ok();
}

#[tokio::test]
async fn renewed_certificate_is_loaded() {
    let (nats, files) = (Nats::start().await, Files::new());
    let old = files.renew();
    let service = files.serve(&nats).await;
    assert!(connect(&service, &old, b"h2").await.is_some());
    let new = files.renew();
    eventually("the new one", async || connect(&service, &new, b"h2").await.is_some()).await;
    assert!(connect(&service, &old, b"h2").await.is_none());
}

#[tokio::test]
async fn temporary_certificate_is_used_without_one() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("OCIS_HTTP_TLS_ENABLED", "true")]).await;
    let address = service.http.address;
    let stream = TcpStream::connect(address).await.expect("connected");
    let connected = connector(&RootCertStore::empty(), b"h2").connect(address.ip().into(), stream).await;
    let reason = connected.expect_err("an unknown server").to_string();
    assert!(reason.contains("UnknownIssuer"), "{reason}");
}
