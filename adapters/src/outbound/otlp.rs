//! Traces for a collector, over OTLP.

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
    settings::{Off, Settings},
    variables::{Unusable, Variables},
};

/// The time for what is left when the service stops.
const MAX_FLUSH: Duration = Duration::from_secs(5);

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collector {
    /// To this URL, path included.
    At {
        /// By this.
        protocol: Protocol,
        /// It.
        url: String,
    },
    /// To where the standard variables (`OTEL_EXPORTER_OTLP_…`) say, else to this machine.
    Standard {
        /// By this, or by what the variables say.
        protocol: Option<Protocol>,
    },
}

impl Collector {
    /// The collector and the protocol that the standard variables name.
    fn standard() -> Self {
        Self::Standard { protocol: None }
    }
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP by gRPC.
    Grpc,
    /// OTLP by HTTP, in Protocol Buffers.
    Http,
}

impl Protocol {
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// What there is to say of the settings of traces, once there is a log.
#[derive(Debug, Default)]
#[must_use = "nobody else says what is wrong"]
pub struct Findings {
    unusable: Vec<Unusable>,
    off_by: Option<&'static str>,
    are_without_effect: bool,
}

impl Findings {
    /// The findings of a service without traces.
    fn without_traces(variables: Variables) -> Self {
        let are_without_effect = variables.any("OTEL_EXPORTER_OTLP_");
        Self { unusable: variables.into_unusable(), are_without_effect, ..Self::default() }
    }

    /// Logs them.
    pub fn log(&self) {
        for unusable in &self.unusable {
            unusable.log();
        }
        if let Some(variable) = self.off_by {
            info!(variable, "no traces are sent, as a variable says");
        }
        if self.are_without_effect {
            info!(
                "traces are off: OTEL_EXPORTER_OTLP_… has an effect with tracing.enabled or OTEL_TRACES_EXPORTER=otlp"
            );
        }
    }
}

/// Sends spans in batches, in the background. A collector that is away costs the spans that it would have got.
pub struct OtlpTraces(SdkTracerProvider);

impl OtlpTraces {
    /// Starts to collect spans of the program `service`, if there is a `collector` or `OTEL_TRACES_EXPORTER` is `otlp`. To be called within the
    /// runtime.
    ///
    /// Returns none if a variable switches traces off, or if a setting without which they cannot be sent is unusable.
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
        let off_by = match settings {
            Err(Off::By(variable)) => Some(variable),
            Err(Off::Unusable) | Ok(_) => None,
        };
        let traces = settings.ok().and_then(|settings| match ReportingExporter::build(&settings) {
            Ok(exporter) => Some(Self::with(exporter, settings, service, version)),
            Err(error) => {
                let (setting, url) = (settings.destination.setting, settings.destination.shown());
                variables.reject(setting, Some(&url), error.to_string(), "no traces are sent");
                None
            }
        });
        let unusable = variables.into_unusable();
        (traces, Findings { unusable, off_by, ..Findings::default() })
    }

    fn with(
        exporter: ReportingExporter,
        settings: Settings,
        service: &'static str,
        version: &'static str,
    ) -> Self {
        let Settings { batches, service_name, .. } = settings;
        // The later one counts. What the program is called is for the administrator to say, which version it is for the program.
        let resource = Resource::builder_empty()
            .with_service_name(service)
            .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())])
            .with_attributes(service_name.map(|name| KeyValue::new("service.name", name)))
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let batches = BatchSpanProcessor::builder(exporter, Tokio).with_batch_config(batches).build();
        Self(SdkTracerProvider::builder().with_span_processor(batches).with_resource(resource).build())
    }

    /// What hears of spans.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("ocis-sse"))
    }

    /// Sends what is left. It blocks until that is done or given up, for five seconds at most.
    pub fn finish(&self) {
        let (done, finished) = mpsc::channel();
        let provider = self.0.clone();
        // The SDK waits for as long as the batch before takes, and this one after it. Its own limit is not observed.
        thread::spawn(move || {
            provider.shutdown().ok();
            done.send(()).ok();
        });
        if finished.recv_timeout(MAX_FLUSH).is_err() {
            error!(seconds = MAX_FLUSH.as_secs(), "the last traces cannot be sent in time");
        }
    }
}
