//! Running and recent spans, kept in memory for the debug server.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ports::outbound::Clock;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Maximum number of finished spans that are kept of each name and class.
const MAX_FINISHED: usize = 10;
/// Maximum number of running spans that are recorded.
const MAX_RUNNING: usize = 1000;
/// Upper bounds of the latency classes.
const LATENCY_BOUNDS: [Duration; 6] = [
    Duration::from_micros(10),
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// The running and the recent spans. Clones share their state.
#[derive(Clone)]
pub struct RecentSpans {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    running: HashMap<u64, Running>,
    finished: BTreeMap<(&'static str, Class), VecDeque<Finished>>,
}

struct Running {
    name: &'static str,
    fields: String,
    started: Instant,
    failed: bool,
}

struct Finished {
    fields: String,
    latency: Duration,
    ended: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// The latency is below the bound with this index, or above all bounds.
    Latency(usize),
    /// An error was logged within the span.
    Error,
}

impl RecentSpans {
    /// Creates an empty record.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), clock }
    }

    /// Returns a page that shows the spans.
    #[must_use]
    pub fn render(&self) -> String {
        let (state, now) = (self.state.lock(), self.clock.now());
        let mut rows = String::new();
        for running in state.running.values() {
            row(&mut rows, running.name, "running", now - running.started, Duration::ZERO, &running.fields);
        }
        for ((name, class), spans) in &state.finished {
            for span in spans.iter().rev() {
                row(&mut rows, name, &class.to_string(), span.latency, now - span.ended, &span.fields);
            }
        }
        PAGE.replace("{rows}", &rows)
    }
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Recent spans</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem }
  table { border-collapse: collapse }
  th, td { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #8884 }
  td.number { text-align: right; font-variant-numeric: tabular-nums }
  code { overflow-wrap: anywhere }
</style>
<h1>Recent spans</h1>
<p>The last ten of each name for each class of latency, and the last ten with an error.</p>
<table>
<tr><th>span<th>class<th>latency<th>ended ago<th>fields
{rows}</table>
"#;

fn row(rows: &mut String, name: &str, class: &str, latency: Duration, ago: Duration, fields: &str) {
    let fields = fields.replace('&', "&amp;").replace('<', "&lt;");
    let ago = if ago.is_zero() { String::new() } else { format!("{} s", ago.as_secs()) };
    // Writing to a String does not fail.
    writeln!(
        rows,
        "<tr><td>{name}<td>{class}<td class=number>{latency:.1?}<td class=number>{ago}<td><code>{fields}</code>"
    )
    .ok();
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(class) => match LATENCY_BOUNDS.get(*class) {
                Some(bound) => write!(f, "under {bound:?}"),
                None => write!(f, "longer"),
            },
            Self::Error => f.write_str("error"),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RecentSpans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        let started = self.clock.now();
        let name = attributes.metadata().name();
        let mut state = self.state.lock();
        if state.running.len() < MAX_RUNNING {
            state.running.insert(id.into_u64(), Running { name, fields: fields.0, started, failed: false });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(running) = self.state.lock().running.get_mut(&id.into_u64()) {
            let mut fields = Fields(std::mem::take(&mut running.fields));
            values.record(&mut fields);
            running.fields = fields.0;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR
            && let Some(span) = context.event_span(event)
            && let Some(running) = self.state.lock().running.get_mut(&span.id().into_u64())
        {
            running.failed = true;
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let ended = self.clock.now();
        let mut state = self.state.lock();
        let Some(Running { name, fields, started, failed }) = state.running.remove(&id.into_u64()) else {
            return;
        };
        let latency = ended.saturating_duration_since(started);
        let class = LATENCY_BOUNDS.iter().position(|bound| latency < *bound).unwrap_or(LATENCY_BOUNDS.len());
        let class = if failed { Class::Error } else { Class::Latency(class) };
        let kept = state.finished.entry((name, class)).or_default();
        kept.push_back(Finished { fields, latency, ended });
        if kept.len() > MAX_FINISHED {
            kept.pop_front();
        }
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{}={value} ", field.name()).ok();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).ok();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the start time of the test does not matter")]
mod tests {
    use ports::outbound::MockClock;
    use tracing::{error, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn page_shows_running_recent_and_failed_spans() {
        // The clock stands still, so all spans have the same class.
        let (mut clock, now) = (MockClock::new(), Instant::now());
        clock.expect_now().return_const(now);
        let spans = RecentSpans::new(Arc::new(clock));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans.clone()), || {
            for n in 0..20 {
                drop(info_span!("deliver", event = n, text = "<b>"));
            }
            let admission = info_span!("admit", status = tracing::field::Empty);
            admission.in_scope(|| error!("failed"));
            admission.record("status", 503);
            drop(admission);
            let running = info_span!("running");
            let page = spans.render();
            drop(running);
            assert!(page.contains("<tr><td>running<td>running<td"), "{page}");
            assert!(page.contains("<tr><td>admit<td>error<td"), "{page}");
            assert!(page.contains("status=503"), "{page}");
            assert!(page.contains("event=19 text=&lt;b>"), "{page}");
            assert!(!page.contains("event=0 "), "only the last ten of a class\n{page}");
        });
        assert!(spans.state.lock().running.is_empty());
    }
}
