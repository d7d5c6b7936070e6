//! Export of traces to a collector, over OTLP.

mod checks;
mod exporter;
mod settings;
mod tls;
mod trace_context;
mod variables;

use std::{sync::mpsc, thread, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    runtime::Tokio,
    trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
};
use tracing::{Subscriber, error, info};
use tracing_subscriber::{Layer, registry::LookupSpan};

pub use self::trace_context::TraceContext;
use self::{
    exporter::ReportingExporter,
    settings::{Disabled, Settings},
    variables::{UnusableSetting, Variables},
};

/// Timeout for exporting the remaining spans when the service stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The collector that receives the traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collector {
    /// The collector at a URL.
    At {
        /// The protocol of the collector.
        protocol: Protocol,
        /// The URL, path included.
        url: String,
    },
    /// The collector of the standard variables (`OTEL_EXPORTER_OTLP_…`), by default one on this machine.
    Standard {
        /// The protocol. If none is given, the variables select it.
        protocol: Option<Protocol>,
    },
}

impl Collector {
    /// The collector and the protocol that the standard variables name.
    fn standard() -> Self {
        Self::Standard { protocol: None }
    }
}

/// The protocol of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, in Protocol Buffers.
    Http,
}

impl Protocol {
    /// Returns the name of the protocol in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// The findings about the settings of traces. They are logged once the log exists.
#[derive(Debug, Default)]
#[must_use = "findings that are not logged are lost"]
pub struct Findings {
    /// The settings that cannot be used.
    unusable: Vec<UnusableSetting>,
    /// The variable that disables traces.
    disabled_by: Option<&'static str>,
    /// Whether variables are set that have no effect, because tracing is disabled.
    are_ignored: bool,
}

impl Findings {
    /// The findings of a service without traces.
    fn without_traces(variables: Variables) -> Self {
        let are_ignored = variables.any("OTEL_EXPORTER_OTLP_");
        Self { unusable: variables.into_unusable(), are_ignored, ..Self::default() }
    }

    /// Logs the findings.
    pub fn log(&self) {
        for setting in &self.unusable {
            setting.log();
        }
        if let Some(variable) = self.disabled_by {
            info!(variable, "traces are disabled by a variable");
        }
        if self.are_ignored {
            info!(
                "traces are disabled: OTEL_EXPORTER_OTLP_… has an effect with tracing.enabled or OTEL_TRACES_EXPORTER=otlp"
            );
        }
    }
}

/// The export of spans, in batches in the background. Spans are lost while the collector is unreachable.
pub struct OtlpTraces(SdkTracerProvider);

impl OtlpTraces {
    /// Starts to export the spans of the program `service`, if there is a `collector` or `OTEL_TRACES_EXPORTER` is `otlp`. Returns none if a
    /// variable disables traces, or if a required setting cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    pub fn start(
        collector: Option<Collector>,
        service: &'static str,
        version: &'static str,
    ) -> (Option<Self>, Findings) {
        let mut variables = Variables::of_process();
        let collector =
            collector.or_else(|| settings::is_exporter_set(&mut variables).then(Collector::standard));
        let Some(collector) = collector else { return (None, Findings::without_traces(variables)) };
        let settings = Settings::read(collector, &mut variables);
        let disabled_by = match settings {
            Err(Disabled::By(variable)) => Some(variable),
            Err(Disabled::Unusable) | Ok(_) => None,
        };
        let traces = settings.ok().and_then(|settings| match ReportingExporter::build(&settings) {
            Ok(exporter) => Some(Self::with(exporter, settings, service, version)),
            Err(error) => {
                let (setting, url) = (settings.destination.setting, settings.destination.redacted_url());
                variables.reject(setting, Some(&url), error.to_string(), "traces are disabled");
                None
            }
        });
        let unusable = variables.into_unusable();
        (traces, Findings { unusable, disabled_by, ..Findings::default() })
    }

    fn with(
        exporter: ReportingExporter,
        settings: Settings,
        service: &'static str,
        version: &'static str,
    ) -> Self {
        let Settings { batches, service_name, .. } = settings;
        // Later attributes replace earlier ones. The administrator can change the name of the service, but not its version.
        let resource = Resource::builder_empty()
            .with_service_name(service)
            .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())])
            .with_attributes(service_name.map(|name| KeyValue::new("service.name", name)))
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let batches = BatchSpanProcessor::builder(exporter, Tokio).with_batch_config(batches).build();
        Self(SdkTracerProvider::builder().with_span_processor(batches).with_resource(resource).build())
    }

    /// Returns the layer that records spans.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("ocis-sse"))
    }

    /// Exports the remaining spans. Blocks for at most five seconds.
    pub fn finish(&self) {
        let (done, finished) = mpsc::channel();
        let provider = self.0.clone();
        // The SDK ignores its own timeout: it waits for the batch before this one, and then for this one.
        thread::spawn(move || {
            provider.shutdown().ok();
            done.send(()).ok();
        });
        if finished.recv_timeout(FLUSH_TIMEOUT).is_err() {
            error!(seconds = FLUSH_TIMEOUT.as_secs(), "the last traces cannot be sent in time");
        }
    }
}
