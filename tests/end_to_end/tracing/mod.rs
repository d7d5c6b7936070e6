//! The spans that a collector receives.

mod collector;
mod faults;
mod variables;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::Value;

use self::collector::{Certified, Collector, Encryption, grpc, http, texts};
use crate::{
    client::{self, Stream},
    eventually,
    nats::{Nats, send_sse},
    program::server_with,
    service::token,
    transport,
};

/// Returns the attributes that arrived as baggage.
fn baggage(span: &Span) -> BTreeMap<String, String> {
    let named = texts(&span.attributes).into_iter();
    named.filter_map(|(key, value)| Some((key.strip_prefix("baggage.")?.to_owned(), value))).collect()
}

/// Asserts that `span` has these attributes, among others.
fn has_attributes(span: &Span, expected: &[(&str, &str)]) {
    let attributes = texts(&span.attributes);
    for (name, value) in expected {
        assert_eq!(attributes.get(*name).map(String::as_str), Some(*value), "{name} in {attributes:?}");
    }
}

const ENABLED: (&str, &str) = ("OCIS_TRACING_ENABLED", "true");

/// Opens a stream and stops the service, which flushes its spans. Returns the log.
async fn admit(settings: &[(&str, &str)]) -> String {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, settings);
    let (mut log, mut server) = (Vec::new(), None);
    while server.is_none() {
        let line = program.error_line().await.expect("a line with the addresses");
        let entry: Value = serde_json::from_str(&line).expect("JSON");
        if entry["message"] == "listening" {
            let address = entry["address"].as_str().expect("a text").parse().expect("an address");
            server = Some(transport::service_at(address));
        }
        log.push(line);
    }
    let server = server.expect("it listens");
    drop(Stream::open(server, "/sse", &[("x-access-token", &token("einstein"))]).await);
    program.terminate();
    log.push(program.remaining_errors().await);
    assert_eq!(program.status().await, Some(0));
    log.join("\n")
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Checks that an event and a stream with a trace context are part of that trace.
async fn joins_the_trace(settings: &[(&str, &str)], collector: &mut Collector) {
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
    let mut stream = Stream::open(address, "/sse?token=private", &headers).await;
    let admission = collector.span("admit").await;
    assert_eq!(HEXLOWER.encode(&admission.trace_id), TRACE);
    assert_eq!(HEXLOWER.encode(&admission.parent_span_id), PARENT);
    assert_eq!(admission.trace_state, "vendor=one,other=two");
    let attributes = [("event", "mine"), ("plan", "free"), ("tenant", "Physics Institute")];
    assert_eq!(
        baggage(&admission),
        attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
    assert_eq!(admission.kind(), SpanKind::Server);
    has_attributes(
        &admission,
        &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("url.path", "/sse"),
            ("url.scheme", address.scheme()),
        ],
    );
    assert!(!format!("{admission:?}").contains("private"), "{admission:?}");

    let mut message: Value = serde_json::from_str(&send_sse(&["einstein"], "t", "hello")).expect("JSON");
    message["Metadata"]["traceparent"] = trace_parent.into();
    let publisher = nats.publisher().await;
    eventually("subscribed", async || publisher.jetstream.get_stream("main-queue").await.is_ok()).await;
    // Only new events are read, and the service may not read yet: publishes until one arrives.
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
    let delivery = collector.span("deliver").await;
    assert_eq!(HEXLOWER.encode(&delivery.trace_id), TRACE);
    assert_eq!(HEXLOWER.encode(&delivery.parent_span_id), PARENT);
    assert_eq!(delivery.kind(), SpanKind::Consumer);
    has_attributes(
        &delivery,
        &[
            ("messaging.system", "nats"),
            ("messaging.destination.name", "main-queue"),
            ("messaging.operation.type", "process"),
            ("messaging.operation.name", "process"),
            ("messaging.message.body.size", &message.to_string().len().to_string()),
            ("type", "t"),
        ],
    );
    let attributes = texts(&delivery.attributes);
    assert!(attributes.contains_key("event"), "{attributes:?}");
    // Every instance reads all events, so there is no consumer group.
    assert!(!attributes.contains_key("messaging.consumer.group.name"), "{attributes:?}");
    program.terminate();
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn events_and_admissions_are_traced_by_grpc() {
    let mut collector = grpc(Encryption::default()).await;
    let address = collector.address.to_string();
    let settings = [("OCIS_TRACING_TYPE", "jaeger"), ("OCIS_TRACING_ENDPOINT", &*address)];
    joins_the_trace(&settings, &mut collector).await;
}

#[tokio::test]
async fn events_and_admissions_are_traced_by_http() {
    let mut collector = http(Encryption::default()).await;
    let url = format!("http://{}", collector.address);
    joins_the_trace(&[("SSE_TRACING_COLLECTOR", &url)], &mut collector).await;
}

#[tokio::test]
async fn events_and_admissions_are_traced_over_tls_by_grpc() {
    let certified = Certified::new();
    let mut collector = grpc(Encryption::with(&certified)).await;
    let url = format!("https://{}", collector.address);
    let authority = ("OTEL_EXPORTER_OTLP_CERTIFICATE", certified.certificate());
    joins_the_trace(&[("OCIS_TRACING_ENDPOINT", &url), authority], &mut collector).await;
}

#[tokio::test]
async fn events_and_admissions_are_traced_over_tls_by_http() {
    let certified = Certified::new();
    let mut collector = http(Encryption::with(&certified)).await;
    let url = format!("https://{}", collector.address);
    let authority = ("OTEL_EXPORTER_OTLP_CERTIFICATE", certified.certificate());
    joins_the_trace(&[("OCIS_TRACING_COLLECTOR", &url), authority], &mut collector).await;
}

#[tokio::test]
async fn standard_variables_apply_without_own_settings() {
    let mut collector = grpc(Encryption::default()).await;
    let url = format!("http://{}", collector.address);
    joins_the_trace(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)], &mut collector).await;
}

#[tokio::test]
async fn rejected_request_is_traced_with_its_status() {
    let mut collector = grpc(Encryption::default()).await;
    let address = collector.address.to_string();
    let nats = Nats::start().await;
    let settings = [
        ("OCIS_TRACING_ENABLED", "true"),
        ("OCIS_TRACING_ENDPOINT", &*address),
        ("SSE_MAX_CONNECTIONS", "1"),
    ];
    let mut program = server_with(&nats, &settings);
    let server = program.logged_addresses().await.0;
    assert_eq!(client::get(server, "/sse", &[]).await.status, 401);
    let token = token("einstein");
    let headers = [("x-access-token", &*token)];
    let open = Stream::open(server, "/sse", &headers).await;
    assert_eq!(client::get(server, "/sse", &headers).await.status, 503);
    drop(open);
    program.terminate();
    let span = collector.span("admit").await;
    has_attributes(&span, &[("http.response.status_code", "401")]);
    // A client error is not a server error.
    assert_eq!(span.status.map_or(0, |status| status.code), 0);
    collector.span("admit").await;
    let unavailable = collector.span("admit").await;
    has_attributes(&unavailable, &[("http.response.status_code", "503"), ("error.type", "503")]);
    assert_eq!(unavailable.status.map(|status| status.code()), Some(StatusCode::Error));
}

#[tokio::test]
async fn baggage_is_traced_in_part_and_never_logged() {
    let mut collector = grpc(Encryption::default()).await;
    let url = format!("http://{}", collector.address);
    let nats = Nats::start().await;
    let settings = [("OCIS_TRACING_ENABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let mut program = server_with(&nats, &settings);
    let address = program.logged_addresses().await.0;
    let carried = format!("broken=%FF,nothing,kept=yes,long={},late=no", "x".repeat(1024));
    let headers = [("x-access-token", &*token("einstein")), ("baggage", &carried)];
    drop(Stream::open(address, "/sse", &headers).await);
    program.terminate();
    let admission = collector.span("admit").await;
    assert_eq!(baggage(&admission), [("kept".to_owned(), "yes".to_owned())].into());
    let log = program.remaining_errors().await;
    assert!(log.contains("stopping") && !log.contains("kept"), "{log}");
}
