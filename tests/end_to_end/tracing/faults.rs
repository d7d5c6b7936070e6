//! Faults of tracing are logged, and never affect the service.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::net::TcpListener;

use super::{
    collector::{Certified, Collector, Encryption, grpc, http},
    *,
};
use crate::{program::Program, transport::Server};

const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");
const NOT_SENT: &str = "traces cannot be sent, trying again with later ones";

/// A service with tracing.
struct Traced {
    /// Runs as long as the service.
    _nats: Nats,
    program: Program,
    server: Server,
}

impl Traced {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let nats = Nats::start().await;
        let settings: Vec<_> = [ENABLED, AT_ONCE].iter().chain(settings).copied().collect();
        let mut program = server_with(&nats, &settings);
        let server = program.logged_addresses().await.0;
        Self { _nats: nats, program, server }
    }

    async fn serves(&self) {
        drop(Stream::open(self.server, "/sse", &[("x-access-token", &token("einstein"))]).await);
    }

    /// Returns the next error in the log.
    async fn error(&mut self) -> Value {
        loop {
            let line = self.program.error_line().await.expect("a line with the error");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if line["level"] == "error" {
                return line;
            }
        }
    }

    /// Stops the service; returns the rest of its log.
    async fn stop(mut self) -> String {
        self.program.terminate();
        let log = self.program.remaining_errors().await;
        assert_eq!(self.program.status().await, Some(0));
        log
    }
}

#[tokio::test]
async fn unusable_setting_is_logged_once() {
    let setting = async |name: &str, value: &str, others: &[(&str, &str)], problem: &str| {
        let settings: Vec<_> = others.iter().copied().chain([ENABLED, (name, value)]).collect();
        let log = admit(&settings).await;
        let lines = log.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let errors: Vec<Value> = lines.filter(|line: &Value| line["level"] == "error").collect();
        let [error] = &*errors else { panic!("{name}: {errors:?}") };
        assert_eq!(error["name"], name, "{error}");
        assert!(error["problem"].as_str().is_some_and(|text| text.contains(problem)), "{error}");
        assert!(error["consequence"].is_string(), "{error}");
        if name.ends_with("HEADERS") {
            assert!(!log.contains("hidden"), "{log}");
        } else {
            assert_eq!(error["value"], value, "{error}");
        }
    };
    let mut collector = grpc(Encryption::default()).await;
    let url = format!("http://{}", collector.address);
    let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url);
    let encrypted = ("OCIS_TRACING_ENDPOINT", "https://127.0.0.1:1");
    setting("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere/at all", &[], "is not a URL").await;
    setting("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere", &[encrypted], "cannot be read").await;
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    let pipe = pipe.to_str().expect("Unicode");
    setting("OTEL_EXPORTER_OTLP_CERTIFICATE", pipe, &[encrypted], "is not a regular file").await;
    setting("OTEL_TRACES_SAMPLER", "often", &[here], "parentbased_traceidratio").await;
    setting("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift", &[here], "grpc, http/protobuf").await;
    setting("OTEL_EXPORTER_OTLP_HEADERS", "hidden", &[here], "in entry 1").await;
    setting("OTEL_BSP_MAX_QUEUE_SIZE", "0", &[here], "from 1 to").await;
    // Tracing works with each of the last four.
    for _ in 0..4 {
        collector.span("admit").await;
    }
}

#[tokio::test]
async fn system_without_authorities_is_logged() {
    let nowhere = [("OCIS_TRACING_COLLECTOR", "https://127.0.0.1:1"), ("SSL_CERT_FILE", "/nowhere"), ENABLED];
    let log = admit(&nowhere).await;
    assert!(log.contains("the system has no certificate authorities"), "{log}");
}

/// A lasting failure is logged once, with its reason.
async fn is_logged_once(settings: &[(&str, &str)], reason: &str) {
    let mut traced = Traced::start(settings).await;
    traced.serves().await;
    let error = traced.error().await;
    assert_eq!(error["message"], NOT_SENT, "{error}");
    assert!(error["reason"].as_str().is_some_and(|text| text.contains(reason)), "{error}");
    assert!(error["setting"].is_string() && error["collector"].is_string(), "{error}");
    traced.serves().await;
    let log = traced.stop().await;
    assert!(!log.contains(r#""level":"error""#) && !log.contains("xport"), "{log}");
}

#[tokio::test]
async fn unreachable_collector_is_logged_once() {
    is_logged_once(&[("OCIS_TRACING_ENDPOINT", "127.0.0.1:1")], "refused").await;
    is_logged_once(&[("OCIS_TRACING_COLLECTOR", "http://127.0.0.1:1")], "refused").await;
}

#[tokio::test]
async fn unresponsive_collector_is_logged_once() {
    // The kernel accepts the connections; nothing answers them.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let soon = ("OTEL_EXPORTER_OTLP_TIMEOUT", "200");
    is_logged_once(&[("OCIS_TRACING_ENDPOINT", &address), soon], "no success within 200ms").await;
    let url = format!("https://{address}");
    let certified = Certified::new();
    let authority = ("OTEL_EXPORTER_OTLP_CERTIFICATE", certified.certificate());
    is_logged_once(&[("OCIS_TRACING_ENDPOINT", &url), soon, authority], "no success within 200ms").await;
    is_logged_once(&[("OCIS_TRACING_COLLECTOR", &url), soon, authority], "no success within 200ms").await;
}

#[tokio::test]
async fn untrusted_collector_gets_nothing() {
    let (certified, other) = (Certified::new(), Certified::new());
    let authority = ("OTEL_EXPORTER_OTLP_CERTIFICATE", other.certificate());
    let mut by_grpc = grpc(Encryption::with(&certified)).await;
    let url = format!("https://{}", by_grpc.address);
    is_logged_once(&[("OCIS_TRACING_ENDPOINT", &url), authority], "invalid peer certificate").await;
    assert!(by_grpc.has_nothing());
    let mut by_http = http(Encryption::with(&certified)).await;
    let url = format!("https://{}", by_http.address);
    is_logged_once(&[("OCIS_TRACING_COLLECTOR", &url), authority], "invalid peer certificate").await;
    assert!(by_http.has_nothing());
}

/// The start and the end of an outage are logged, not each failed request.
async fn is_logged_until_it_ends(settings: &[(&str, &str)], collector: &mut Collector, reason: &str) {
    collector.set_rejecting(true);
    let mut traced = Traced::start(settings).await;
    traced.serves().await;
    let error = traced.error().await;
    assert!(error["reason"].as_str().is_some_and(|text| text.contains(reason)), "{error}");
    let before = collector.requests();
    traced.serves().await;
    eventually("rejected again", async || collector.requests() > before).await;
    collector.set_rejecting(false);
    traced.serves().await;
    collector.span("admit").await;
    let log = traced.stop().await;
    assert!(log.contains("traces are sent again"), "{log}");
    assert!(!log.contains(NOT_SENT) && !log.contains("hidden"), "{log}");
}

#[tokio::test]
async fn collector_errors_are_logged_until_it_recovers() {
    let secret = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hidden");
    let mut by_grpc = grpc(Encryption::default()).await;
    let url = format!("http://{}", by_grpc.address);
    let settings = [("OCIS_TRACING_ENDPOINT", &*url), secret];
    is_logged_until_it_ends(&settings, &mut by_grpc, "Unauthenticated").await;
    let mut by_http = http(Encryption::default()).await;
    let url = format!("http://{}", by_http.address);
    let settings = [("OCIS_TRACING_COLLECTOR", &*url), secret];
    is_logged_until_it_ends(&settings, &mut by_http, "status code: 401").await;
}

#[tokio::test]
async fn unresponsive_collector_does_not_delay_shutdown() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let ten_minutes = "600000";
    let settings = [
        ("OCIS_TRACING_ENDPOINT", &*address),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", ten_minutes),
        ("OTEL_BSP_EXPORT_TIMEOUT", ten_minutes),
    ];
    let traced = Traced::start(&settings).await;
    traced.serves().await;
    let log = traced.stop().await;
    assert!(log.contains("the last traces cannot be sent in time"), "{log}");
}
