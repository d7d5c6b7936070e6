//! Traces for a collector, over OTLP.

use std::collections::HashMap;

use opentelemetry::{KeyValue, propagation::TextMapPropagator as _, trace::TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    runtime::Tokio,
    trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
};
use ports::outbound::Traces;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collector {
    /// By gRPC to this URL.
    Grpc(String),
    /// By HTTP to this URL, path included.
    Http(String),
    /// By gRPC to where the standard variables (`OTEL_EXPORTER_OTLP_…`) say, else to this machine.
    Standard,
}

/// Sends spans in batches, in the background. A collector that is away costs the spans that it would have got.
pub struct OtlpTraces(SdkTracerProvider);

impl OtlpTraces {
    /// Begins to collect spans of the program `service`. To be called within the runtime.
    ///
    /// # Errors
    ///
    /// The collector's address cannot be used.
    pub fn start(
        collector: Collector,
        service: &'static str,
        version: &'static str,
    ) -> Result<Self, ExporterBuildError> {
        let exporter = match collector {
            Collector::Grpc(url) => SpanExporter::builder().with_tonic().with_endpoint(url).build()?,
            Collector::Http(url) => SpanExporter::builder().with_http().with_endpoint(url).build()?,
            Collector::Standard => SpanExporter::builder().with_tonic().build()?,
        };
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let batches = BatchSpanProcessor::builder(exporter, Tokio).build();
        Ok(Self(SdkTracerProvider::builder().with_span_processor(batches).with_resource(resource).build()))
    }

    /// What hears of spans.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("ocis-sse"))
    }

    /// Sends what is left. It blocks until that is done or given up.
    pub fn finish(&self) {
        self.0.shutdown().ok();
    }
}

/// Reads `traceparent` as W3C Trace Context has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceContext;

impl Traces for TraceContext {
    fn continue_from(&self, span: &Span, trace_parent: &str) {
        if trace_parent.is_empty() || span.is_disabled() {
            return;
        }
        let headers = HashMap::from([("traceparent".to_owned(), trace_parent.to_owned())]);
        let context = TraceContextPropagator::new().extract(&headers);
        // Without tracing there is nothing to set it on.
        span.set_parent(context).ok();
    }
}
