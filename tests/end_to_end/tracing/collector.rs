//! An OpenTelemetry collector.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message as _;
use rcgen::{CertifiedKey, KeyPair};
use tempfile::NamedTempFile;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};
use tokio_util::either::Either;
use tonic::transport::{Certificate, Identity, ServerTlsConfig, server::TcpIncoming};

use crate::DEADLINE;

/// A span with the resource and the headers of its request.
pub(super) struct Received {
    pub(super) span: Span,
    /// The attributes of the resource.
    pub(super) resource: BTreeMap<String, String>,
    /// The headers of the request.
    pub(super) headers: HeaderMap,
}

/// The received spans, and the number of requests.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    requests: Arc<AtomicUsize>,
    rejects: Arc<AtomicBool>,
}

impl Collector {
    /// Returns the next span of that name.
    pub(super) async fn next(&mut self, name: &str) -> Received {
        loop {
            let received =
                tokio::time::timeout(DEADLINE, self.received.recv()).await.expect("a span in time");
            let received = received.expect("a collector");
            if received.span.name == name {
                return received;
            }
        }
    }

    pub(super) async fn span(&mut self, name: &str) -> Span {
        self.next(name).await.span
    }

    /// Returns whether no span was received.
    pub(super) fn has_nothing(&mut self) -> bool {
        self.received.try_recv().is_err() && self.requests() == 0
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Rejects all further requests, or none.
    pub(super) fn set_rejecting(&self, rejects: bool) {
        self.rejects.store(rejects, Ordering::SeqCst);
    }
}

/// The target of all requests.
#[derive(Clone)]
struct Sink {
    received: mpsc::UnboundedSender<Received>,
    requests: Arc<AtomicUsize>,
    rejects: Arc<AtomicBool>,
}

impl Sink {
    /// Records the spans unless requests are rejected.
    fn take(&self, request: ExportTraceServiceRequest, headers: &HeaderMap) -> bool {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.rejects.load(Ordering::SeqCst) {
            return false;
        }
        for spans in request.resource_spans {
            let resource = spans.resource.map(|resource| texts(&resource.attributes)).unwrap_or_default();
            for span in spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.received
                    .send(Received { span, resource: resource.clone(), headers: headers.clone() })
                    .ok();
            }
        }
        true
    }
}

/// Returns attributes as texts, numbers included.
pub(super) fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let (metadata, _, request) = request.into_parts();
        if self.take(request, &metadata.into_headers()) {
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        } else {
            Err(tonic::Status::unauthenticated("rejected"))
        }
    }
}

/// A self-signed certificate for 127.0.0.1.
pub(super) struct Certified {
    made: CertifiedKey<KeyPair>,
    certificate: NamedTempFile,
    key: NamedTempFile,
}

impl Certified {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let file = |text: String| {
            let mut file = NamedTempFile::new().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            file
        };
        let (certificate, key) = (file(made.cert.pem()), file(made.signing_key.serialize_pem()));
        Self { made, certificate, key }
    }

    /// Returns the path of the certificate.
    pub(super) fn certificate(&self) -> &str {
        self.certificate.path().to_str().expect("Unicode")
    }

    /// Returns the path of the key.
    pub(super) fn key(&self) -> &str {
        self.key.path().to_str().expect("Unicode")
    }
}

/// The certificates of a collector and of its clients.
#[derive(Clone, Copy, Default)]
pub(super) struct Encryption<'a> {
    /// `None` for plain TCP.
    pub(super) server: Option<&'a Certified>,
    /// `None` to accept every client.
    pub(super) client: Option<&'a Certified>,
}

impl<'a> Encryption<'a> {
    pub(super) fn with(server: &'a Certified) -> Self {
        Self { server: Some(server), client: None }
    }
}

async fn listen() -> (TcpListener, Sink, Collector) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (sender, received) = mpsc::unbounded_channel();
    let (requests, rejects) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let sink = Sink { received: sender, requests: requests.clone(), rejects: rejects.clone() };
    (listener, sink, Collector { address, received, requests, rejects })
}

/// Starts a collector for gRPC.
pub(super) async fn grpc(Encryption { server, client }: Encryption<'_>) -> Collector {
    let (listener, sink, collector) = listen().await;
    let mut serving = tonic::transport::Server::builder();
    if let Some(Certified { made, .. }) = server {
        let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
        let tls = ServerTlsConfig::new().identity(identity);
        let tls = match client {
            Some(client) => tls.client_ca_root(Certificate::from_pem(client.made.cert.pem())),
            None => tls,
        };
        serving = serving.tls_config(tls).expect("a certificate that can be used");
    }
    let serving = serving.add_service(TraceServiceServer::new(sink));
    tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
    collector
}

/// Starts a collector for HTTP at `/v1/traces`.
pub(super) async fn http(encryption: Encryption<'_>) -> Collector {
    let (listener, sink, collector) = listen().await;
    let tls = acceptor(encryption);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = match &tls {
                None => Either::Left(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Either::Right(stream),
                    Err(_) => continue,
                },
            };
            let sink = sink.clone();
            let service = service_fn(move |request| answer(request, sink.clone()));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    collector
}

async fn answer(request: Request<Incoming>, sink: Sink) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let mut response = Response::new(Full::<Bytes>::default());
    if !sink.take(ExportTraceServiceRequest::decode(body).expect("OTLP"), &headers) {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(response)
}

fn acceptor(Encryption { server, client }: Encryption<'_>) -> Option<TlsAcceptor> {
    let CertifiedKey { cert, signing_key } = &server?.made;
    let builder = match client {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(client) => {
            let mut known = RootCertStore::empty();
            known.add(client.made.cert.der().clone()).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder(known.into()).build().expect("an authority");
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).expect("a key");
    let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone()];
    let config = builder.with_single_cert(chain, key).expect("a certificate that can be used");
    Some(TlsAcceptor::from(Arc::new(config)))
}
