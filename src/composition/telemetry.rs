//! The log and the traces of the service.

use std::sync::Arc;

use adapters::{
    inbound::signals::hangups,
    outbound::{
        clock::SystemClock,
        log::{LogFile, LogLevelHandle, Logging, SpanListener, start_logging},
        otlp::{Collector, OtlpTraces, Protocol},
        spans::RecentSpans,
    },
};
use tracing::{Level, error, info};

use super::{StartError, VERSION};
use crate::configuration::{CollectorKind, Configuration, Log, Tracing};

/// The name of the service in traces.
const SERVICE: &str = "sse";

/// The log and the traces of the service. Dropping it sends the remaining spans.
#[must_use = "dropping it ends the traces"]
pub struct Telemetry {
    traces: Option<OtlpTraces>,
    /// The spans that the debug server shows.
    spans: Option<RecentSpans>,
    log_level: Arc<LogLevelHandle>,
}

impl Telemetry {
    /// Starts the log and the traces as `configuration` says.
    ///
    /// # Errors
    ///
    /// Returns an error if the log file cannot be opened. Problems with traces are only logged.
    pub fn start(configuration: &Configuration) -> Result<Self, StartError> {
        let (traces, findings) = OtlpTraces::start(collector(&configuration.tracing), SERVICE, VERSION);
        let spans = configuration.debug.zpages.then(|| RecentSpans::new(Arc::new(SystemClock)));
        let mut listeners = Vec::new();
        listeners.extend(traces.as_ref().map(|traces| Box::new(traces.layer()) as SpanListener));
        listeners.extend(spans.clone().map(|spans| Box::new(spans) as SpanListener));
        let log_level = Arc::new(start_logging(logging(&configuration.log)?, listeners));
        findings.log();
        Ok(Self { traces, spans, log_level })
    }

    /// Returns the handle that changes the log level.
    pub(super) fn log_level(&self) -> Arc<LogLevelHandle> {
        Arc::clone(&self.log_level)
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
    }
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

/// Starts the log of the demo: warnings on standard error, in a human-readable format.
pub fn start_demo_log() {
    start_logging(Logging { level: Level::WARN, pretty: true, color: false, file: None }, Vec::new());
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
