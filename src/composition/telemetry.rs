//! The log, the metrics and the traces of the service.

use std::sync::Arc;

use adapters::{
    inbound::signals::{self, hangups},
    outbound::{
        clock::SystemClock,
        log::{LogFile, LogHandle, Logging, SpanListener, start_logging},
        otlp::{Collector, OtlpTraces, Protocol},
        prometheus::PrometheusMetrics,
        spans::RecentSpans,
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{Level, error, info};

use super::{StartError, VERSION};
use crate::configuration::{CollectorKind, Configuration, Log, Tracing};

/// The name of the service in traces.
const SERVICE: &str = "sse";

/// The log, the metrics and the traces of the service. Dropping it sends the remaining spans, and writes the remaining lines of the log.
#[must_use = "dropping it ends the traces"]
pub struct Telemetry {
    log: Arc<LogHandle>,
    metrics: Arc<PrometheusMetrics>,
    traces: Option<OtlpTraces>,
    /// The spans that the debug server shows.
    spans: Option<RecentSpans>,
}

impl Telemetry {
    /// Starts the log and the traces as `configuration` says.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be started. Problems with traces are only logged.
    pub fn start(configuration: &Configuration) -> Result<Self, StartError> {
        let (traces, findings) = OtlpTraces::start(collector(&configuration.tracing), SERVICE, VERSION);
        let spans = configuration.debug.zpages.then(|| RecentSpans::new(Arc::new(SystemClock)));
        let mut listeners = Vec::new();
        listeners.extend(traces.as_ref().map(|traces| Box::new(traces.layer()) as SpanListener));
        listeners.extend(spans.clone().map(|spans| Box::new(spans) as SpanListener));
        let (log, metrics) = start_log(logging(&configuration.log)?, listeners)?;
        findings.log();
        Ok(Self { log, metrics, traces, spans })
    }

    /// Starts the log of the demo: warnings on standard error, in a human-readable format.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be started.
    pub fn of_demo() -> Result<Self, StartError> {
        let logging = Logging { level: Level::WARN, pretty: true, color: false, file: None };
        let (log, metrics) = start_log(logging, Vec::new())?;
        Ok(Self { log, metrics, traces: None, spans: None })
    }

    /// Returns the handle of the log.
    pub(super) fn log(&self) -> Arc<LogHandle> {
        Arc::clone(&self.log)
    }

    /// Returns the metrics.
    pub(super) fn metrics(&self) -> Arc<PrometheusMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Returns the spans that the debug server shows. None if the debug server shows none.
    pub(super) fn spans(&self) -> Option<RecentSpans> {
        self.spans.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            // `finish` blocks until the exporter is done, which runs on the same threads.
            tokio::task::block_in_place(|| traces.finish());
        }
        self.log.flush();
    }
}

/// Starts the log, and the metrics that count its dropped lines.
fn start_log(
    logging: Logging,
    listeners: Vec<SpanListener>,
) -> Result<(Arc<LogHandle>, Arc<PrometheusMetrics>), StartError> {
    let metrics = Arc::new(PrometheusMetrics::new(VERSION));
    let log = start_logging(logging, listeners, metrics.clone()).map_err(StartError::Log)?;
    Ok((Arc::new(log), metrics))
}

/// Returns a token that the first SIGTERM or SIGINT cancels. A second signal writes the remaining lines of the log, and ends the process.
///
/// # Errors
///
/// Returns an error if the signal handlers cannot be installed.
pub fn stop_on_signals(telemetry: &Telemetry) -> Result<CancellationToken, StartError> {
    let log = telemetry.log();
    signals::stop_on_signals(move || log.flush()).map_err(StartError::Signals)
}

fn logging(log: &Log) -> Result<Logging, StartError> {
    let Log { level, pretty, color, file, .. } = log;
    let file = match file {
        Some(path) => {
            let failed = |source| StartError::LogFile { path: path.clone(), source };
            let file = Arc::new(LogFile::open(path.into()).map_err(failed)?);
            reopen_on_hangup(Arc::clone(&file)).map_err(StartError::Signals)?;
            Some(file)
        }
        None => None,
    };
    Ok(Logging { level: level.0, pretty: *pretty, color: *color, file })
}

/// Reopens the log file on each SIGHUP.
fn reopen_on_hangup(log: Arc<LogFile>) -> std::io::Result<()> {
    let mut hangups = hangups()?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match log.reopen() {
                Ok(()) => info!("log file reopened"),
                Err(error) => error!(%error, "log file not reopened, keeping the old one"),
            }
        }
    });
    Ok(())
}

fn collector(tracing: &Tracing) -> Option<Collector> {
    let Tracing { enabled, kind, endpoint, collector } = tracing;
    let at = |protocol, url: &str| Collector::At { protocol, url: url.to_owned() };
    enabled.then(|| match (kind, endpoint, collector) {
        (Some(CollectorKind::OtlpHttp), _, Some(collector)) | (_, None, Some(collector)) => {
            at(Protocol::Http, collector.url())
        }
        (_, Some(endpoint), _) => at(Protocol::Grpc, endpoint.url()),
        (Some(CollectorKind::OtlpGrpc), None, None) => Collector::Standard { protocol: Some(Protocol::Grpc) },
        (_, None, None) => Collector::Standard { protocol: None },
    })
}
