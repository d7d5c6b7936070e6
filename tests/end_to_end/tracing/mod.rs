//! What a collector of traces gets.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tonic::transport::server::TcpIncoming;

use crate::{
    PATIENCE,
    client::Stream,
    eventually,
    nats::{Nats, send_sse},
    program::server_with,
    service::token,
};

/// What a collector has received, span by span.
struct Received(mpsc::UnboundedReceiver<Span>);

#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<Span>);

impl Collector {
    fn take(&self, request: ExportTraceServiceRequest) {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            self.0.send(span).ok();
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.take(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// A collector that takes gRPC.
async fn grpc() -> (SocketAddr, Received) {
    let (listener, address) = listen().await;
    let (sender, receiver) = mpsc::unbounded_channel();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, Received(receiver))
}

/// A collector that takes HTTP at `/v1/traces`.
async fn http() -> (SocketAddr, Received) {
    let (listener, address) = listen().await;
    let (sender, receiver) = mpsc::unbounded_channel();
    let collector = Collector(sender);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let collector = collector.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let collector = collector.clone();
                async move {
                    assert_eq!(request.uri().path(), "/v1/traces");
                    let body = request.into_body().collect().await.expect("a body").to_bytes();
                    collector.take(ExportTraceServiceRequest::decode(body).expect("OTLP"));
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, Received(receiver))
}

impl Received {
    /// The next span of that name.
    async fn span(&mut self, name: &str) -> Span {
        loop {
            let span = tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("a span in time");
            let span = span.expect("a collector");
            if span.name == name {
                return span;
            }
        }
    }
}

/// The attributes that came as baggage.
fn baggage(span: &Span) -> BTreeMap<String, String> {
    let text = |value: &AnyValue| match &value.value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("no text: {other:?}"),
    };
    let attributes = span.attributes.iter();
    let named = |attribute: &KeyValue| {
        Some((attribute.key.strip_prefix("baggage.")?.to_owned(), text(attribute.value.as_ref()?)))
    };
    attributes.filter_map(named).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// An event and a stream that belong to a trace are seen in it.
async fn is_traced(settings: &[(&str, &str)], received: &mut Received) {
    let nats = Nats::start().await;
    let soon = [("OCIS_TRACING_ENABLED", "true"), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let settings: Vec<_> = soon.iter().chain(settings).copied().collect();
    let mut program = server_with(&nats, &settings);
    let address = program.logged_addresses().await.0;
    let trace_parent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [
        ("x-access-token", &*token("einstein")),
        ("traceparent", &trace_parent),
        ("tracestate", "vendor=one"),
        ("tracestate", "other=two"),
        ("baggage", "tenant=Physics%20Institute;property"),
        ("baggage", "plan = free , , event=mine"),
    ];
    let mut stream = Stream::open(address, "/sse", &headers).await;
    let admission = received.span("admit").await;
    assert_eq!(HEXLOWER.encode(&admission.trace_id), TRACE);
    assert_eq!(HEXLOWER.encode(&admission.parent_span_id), PARENT);
    assert_eq!(admission.trace_state, "vendor=one,other=two");
    let attributes = [("event", "mine"), ("plan", "free"), ("tenant", "Physics Institute")];
    assert_eq!(
        baggage(&admission),
        attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );

    let mut message: Value = serde_json::from_str(&send_sse(&["einstein"], "t", "hello")).expect("JSON");
    message["Metadata"]["traceparent"] = trace_parent.into();
    let publisher = nats.publisher().await;
    eventually("subscribed", async || publisher.jetstream.get_stream("main-queue").await.is_ok()).await;
    // Only new events are read, and it may not yet read: until one has come, more are published.
    let again_and_again = async {
        loop {
            publisher.message(&message.to_string()).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = again_and_again => {}
        content = stream.content() => assert_eq!(content, "hello"),
    }
    let delivery = received.span("deliver").await;
    assert_eq!(HEXLOWER.encode(&delivery.trace_id), TRACE);
    assert_eq!(HEXLOWER.encode(&delivery.parent_span_id), PARENT);
    assert!(delivery.attributes.iter().any(|attribute| attribute.key == "event"));
    program.terminate();
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn events_and_admissions_are_traced_by_grpc() {
    let (address, mut received) = grpc().await;
    let address = address.to_string();
    is_traced(&[("OCIS_TRACING_TYPE", "jaeger"), ("OCIS_TRACING_ENDPOINT", &address)], &mut received).await;
}

#[tokio::test]
async fn events_and_admissions_are_traced_by_http() {
    let (address, mut received) = http().await;
    let url = format!("http://{address}");
    is_traced(&[("SSE_TRACING_COLLECTOR", &url)], &mut received).await;
}

#[tokio::test]
async fn the_standard_variables_count_where_ours_are_not_set() {
    let (address, mut received) = grpc().await;
    let url = format!("http://{address}");
    is_traced(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)], &mut received).await;
}

#[tokio::test]
async fn of_what_a_client_carries_along_a_part_is_traced_and_nothing_logged() {
    let (collector, mut received) = grpc().await;
    let url = format!("http://{collector}");
    let nats = Nats::start().await;
    let settings = [("OCIS_TRACING_ENABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let mut program = server_with(&nats, &settings);
    let address = program.logged_addresses().await.0;
    let carried = format!("broken=%FF,nothing,kept=yes,long={},late=no", "x".repeat(1024));
    let headers = [("x-access-token", &*token("einstein")), ("baggage", &carried)];
    drop(Stream::open(address, "/sse", &headers).await);
    program.terminate();
    let admission = received.span("admit").await;
    assert_eq!(baggage(&admission), [("kept".to_owned(), "yes".to_owned())].into());
    let log = program.complaints().await;
    assert!(log.contains("stopping") && !log.contains("kept"), "{log}");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_nothing() {
    let nats = Nats::start().await;
    let away = [("OCIS_TRACING_ENABLED", "true"), ("OCIS_TRACING_ENDPOINT", "127.0.0.1:1")];
    let mut program = server_with(&nats, &away);
    let address = program.logged_addresses().await.0;
    let stream = Stream::open(address, "/sse", &[("x-access-token", &token("einstein"))]).await;
    drop(stream);
    program.terminate();
    assert_eq!(program.status().await, Some(0));
}
