//! The environment variables of OpenTelemetry.

use super::{
    collector::{Certified, Collector, Encryption, Received, grpc, http},
    *,
};

/// Returns the span of a stream's admission, traced with `settings`.
async fn admission(settings: &[(&str, &str)], collector: &mut Collector) -> Received {
    admit(settings).await;
    collector.next("admit").await
}

#[tokio::test]
async fn general_variables_apply() {
    let certified = Certified::new();
    let mut collector = http(Encryption::with(&certified)).await;
    let url = format!("https://{}", collector.address);
    let settings = [
        ENABLED,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", certified.certificate()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20c2VjcmV0,x-tenant=physics"),
        ("OTEL_SERVICE_NAME", "notifications"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=staging,service.name=other,service.version=9",
        ),
    ];
    let Received { resource, headers, .. } = admission(&settings, &mut collector).await;
    let header = |name: &str| headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("authorization").as_deref(), Some("Basic c2VjcmV0"));
    assert_eq!(header("x-tenant").as_deref(), Some("physics"));
    assert_eq!(header("content-type").as_deref(), Some("application/x-protobuf"));
    let attribute = |name: &str| resource.get(name).map(String::as_str);
    assert_eq!(attribute("service.name"), Some("notifications"));
    assert_eq!(attribute("service.version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(attribute("deployment.environment.name"), Some("staging"));
}

#[tokio::test]
async fn trace_variables_precede_general_ones() {
    let certified = Certified::new();
    let mut collector = grpc(Encryption::with(&certified)).await;
    // An endpoint without a scheme uses TLS with gRPC.
    let address = collector.address.to_string();
    let settings = [
        ENABLED,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &address),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", certified.certificate()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=other"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=physics"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=notifications"),
    ];
    let Received { resource, headers, .. } = admission(&settings, &mut collector).await;
    assert_eq!(headers["x-tenant"], "physics");
    assert_eq!(resource["service.name"], "notifications");
}

#[tokio::test]
async fn platforms_settings_precede_the_variables() {
    let mut collector = grpc(Encryption::default()).await;
    let address = collector.address.to_string();
    let settings = [
        ENABLED,
        ("OC_TRACING_ENDPOINT", &*address),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
    ];
    // The variables also apply where the platform has no setting. The service name stays the default without a
    // variable.
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=physics");
    let all: Vec<_> = settings.into_iter().chain([headers]).collect();
    let Received { resource, headers, .. } = admission(&all, &mut collector).await;
    assert_eq!(headers["x-tenant"], "physics");
    assert_eq!(resource["service.name"], "sse");
}

#[tokio::test]
async fn system_authorities_are_the_default() {
    let certified = Certified::new();
    let system = ("SSL_CERT_FILE", certified.certificate());
    let mut by_grpc = grpc(Encryption::with(&certified)).await;
    let url = format!("https://{}", by_grpc.address);
    admission(&[ENABLED, ("OCIS_TRACING_ENDPOINT", &url), system], &mut by_grpc).await;
    let mut by_http = http(Encryption::with(&certified)).await;
    let url = format!("https://{}", by_http.address);
    admission(&[ENABLED, ("OCIS_TRACING_COLLECTOR", &url), system], &mut by_http).await;
}

#[tokio::test]
async fn client_certificate_is_sent_on_request() {
    let (server, client) = (Certified::new(), Certified::new());
    let both = Encryption { server: Some(&server), client: Some(&client) };
    let identity = [
        ENABLED,
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", server.certificate()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", client.certificate()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", client.key()),
    ];
    let mut by_grpc = grpc(both).await;
    let url = format!("https://{}", by_grpc.address);
    let settings: Vec<_> = identity.into_iter().chain([("OCIS_TRACING_ENDPOINT", &*url)]).collect();
    admission(&settings, &mut by_grpc).await;
    let mut by_http = http(both).await;
    let url = format!("https://{}", by_http.address);
    let settings: Vec<_> = identity.into_iter().chain([("OCIS_TRACING_COLLECTOR", &*url)]).collect();
    admission(&settings, &mut by_http).await;
}

#[tokio::test]
async fn variables_enable_and_disable_traces() {
    let mut collector = grpc(Encryption::default()).await;
    let url = format!("http://{}", collector.address);
    let collected = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let log = admit(&collected).await;
    assert!(log.contains("traces are disabled"), "{log}");
    assert!(collector.has_nothing(), "an endpoint alone switches nothing on");
    let exported = [collected[0], ("OTEL_TRACES_EXPORTER", "otlp")];
    for off in [
        ("OTEL_SDK_DISABLED", "True"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        let settings: Vec<_> = exported.into_iter().chain([ENABLED, off]).collect();
        let log = admit(&settings).await;
        assert!(!log.contains("cannot be"), "{log}");
        assert!(collector.has_nothing(), "{off:?}");
    }
    admission(&[collected[0], ENABLED], &mut collector).await;
    // OpenCloud has no other switch.
    admission(&exported, &mut collector).await;
}
