//! The log in the platform's format: zerolog's JSON, one object per line.

mod output;
mod queue;

use std::{fmt, io, sync::Arc, thread};

use ports::outbound::Metrics;
use serde::Serializer as _;
use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

pub use self::output::LogFile;
use self::{output::Output, queue::Queue};

/// The name of the service in the log.
const SERVICE: &str = "sse";
/// The targets of this service's crates.
const OWN_TARGETS: [&str; 4] = ["ocis_sse", "adapters", "ports", "domain"];
/// Minimum severity for libraries. Their less severe messages are not meant for an administrator.
const LIBRARY_LEVEL: LevelFilter = LevelFilter::WARN;

/// The options of the log.
#[derive(Clone, Debug)]
pub struct Logging {
    /// Minimum severity.
    pub level: Level,
    /// Human-readable format instead of JSON.
    pub pretty: bool,
    /// Colors in the human-readable format.
    pub color: bool,
    /// The file. None for standard error.
    pub file: Option<Arc<LogFile>>,
}

/// Starts the log, and passes spans to `listeners`. Only the first call has an effect. A thread writes the lines; `metrics` counts those that
/// are dropped because it cannot write as fast.
///
/// # Errors
///
/// Returns an error if the thread cannot be started.
pub fn start_logging(
    logging: Logging,
    listeners: Vec<SpanListener>,
    metrics: Arc<dyn Metrics>,
) -> io::Result<LogHandle> {
    let Logging { level, pretty, color, file } = logging;
    let (filter, reload) = reload::Layer::new(level_filter(level));
    let output = file.map_or(Output::StandardError, Output::File);
    let queue = Arc::new(Queue::new(metrics));
    let written = Arc::clone(&queue);
    thread::Builder::new().name("log".into()).spawn(move || written.write_to(output))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(Arc::clone(&queue));
    let lines = if pretty { lines.with_ansi(color).boxed() } else { lines.event_format(ZerologLine).boxed() };
    // Spans do not depend on the log level. Without listeners they are disabled.
    let spans = if listeners.is_empty() {
        Targets::new()
    } else {
        Targets::new().with_targets(own_targets(Level::INFO))
    };
    let set = move |level| {
        // Fails if this was not the first call.
        reload.reload(level_filter(level)).ok();
    };
    tracing_subscriber::registry()
        .with(listeners.with_filter(spans))
        .with(lines.with_filter(filter))
        .try_init()
        .ok();
    Ok(LogHandle { set_level: Box::new(set), queue })
}

/// Returns the filter for messages of severity `level` and above.
fn level_filter(level: Level) -> Targets {
    // The NATS client and the exporter of traces log every attempt. This service logs a failure once.
    let repetitive = ["async_nats", "opentelemetry-otlp"].map(|target| (target, LevelFilter::OFF));
    let libraries = LIBRARY_LEVEL.min(LevelFilter::from_level(level));
    Targets::new().with_default(libraries).with_targets(repetitive).with_targets(own_targets(level))
}

fn own_targets(level: Level) -> [(&'static str, LevelFilter); OWN_TARGETS.len()] {
    OWN_TARGETS.map(|target| (target, LevelFilter::from_level(level)))
}

/// A handle of the running log.
pub struct LogHandle {
    set_level: Box<dyn Fn(Level) + Send + Sync>,
    queue: Arc<Queue>,
}

impl LogHandle {
    /// Sets the minimum severity.
    pub fn set_level(&self, level: Level) {
        (self.set_level)(level);
    }

    /// Waits until all lines are written, for a second at most. To be called before the program ends. It blocks.
    pub fn flush(&self) {
        self.queue.flush();
    }
}

/// A layer that is notified of spans.
pub type SpanListener = Box<dyn Layer<Registry> + Send + Sync>;

/// The format of a line: zerolog's JSON.
struct ZerologLine;

impl<S, N> FormatEvent<S, N> for ZerologLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Line(Vec::with_capacity(8));
        line.add("level", level(*metadata.level()));
        line.add("service", SERVICE);
        line.add("time", time);
        if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
            line.add("line", format!("{file}:{number}"));
        }
        event.record(&mut line);
        let mut json = serde_json::Serializer::new(Vec::new());
        json.collect_map(line.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{}", String::from_utf8_lossy(&json.into_inner()))
    }
}

/// Returns zerolog's name of a level.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of a line, in order.
struct Line(Vec<(&'static str, Value)>);

impl Line {
    fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }
}

impl Visit for Line {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use serde_json::json;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn line_has_fields_of_zerolog() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().event_format(ZerologLine).with_writer(lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(
                sequence = 7,
                reason = "a \"quoted\"\nreason",
                { "request-id" } = "r1",
                "message skipped"
            );
        });
        let bytes = lines.0.lock().clone();
        let text = str::from_utf8(&bytes).expect("UTF-8");
        assert!(text.starts_with(r#"{"level":"warn","service":"sse","time":""#), "{text}");
        let mut line: Value = serde_json::from_str(text).expect("one line of JSON");
        let time = line["time"].take();
        assert!(time.as_str().is_some_and(|time| time.contains('T') && time.ends_with('Z')), "{time}");
        let location = line["line"].take();
        assert!(location.as_str().is_some_and(|location| location.contains("log.rs:")), "{location}");
        assert_eq!(
            line,
            json!({
                "level": "warn", "service": "sse", "time": null, "line": null, "message": "message skipped",
                "sequence": 7, "reason": "a \"quoted\"\nreason", "request-id": "r1",
            })
        );
    }
}
