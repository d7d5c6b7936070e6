//! What feeds the page: an event stream of its own. Without a page nothing is gathered.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{log::EndReason, notification::EventId, statistics::Statistics};
use futures_util::stream;
use poem::{Body, Response, handler, http::StatusCode, web::Data};
use ports::inbound::{NotReady, RecentEvent};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Interval, MissedTickBehavior},
};

use super::Inspection;

/// How often the page hears.
const INTERVAL: Duration = Duration::from_secs(1);
/// Of a type so much is shown, in bytes: a publisher's may be any text.
const SHOWN_TYPE_BYTES: usize = 120;

/// Statistics each second, and the events that came meanwhile.
#[handler]
pub(super) fn follow(Data(inspection): Data<&Arc<Inspection>>) -> Response {
    let Ok(permit) = Arc::clone(&inspection.pages).try_acquire_owned() else {
        let why = "as many pages are open as are fed at a time";
        return (StatusCode::SERVICE_UNAVAILABLE, why).into();
    };
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher {
        inspection: Arc::clone(inspection),
        interval,
        before: None,
        last_event: None,
        stopping: false,
        _permit: permit,
    };
    let told = stream::unfold(watcher, async |watcher| watcher.next().await);
    Response::builder()
        .content_type("text/event-stream")
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(told))
}

/// One page that is open.
struct Watcher {
    inspection: Arc<Inspection>,
    interval: Interval,
    /// The statistics that the page was told last, and when.
    before: Option<(Statistics, std::time::Instant)>,
    last_event: Option<EventId>,
    stopping: bool,
    /// Its place among the pages.
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    /// What the page hears next; none when there is no more to come.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.stopping {
            return None;
        }
        self.interval.tick().await;
        let ready = self.inspection.readiness.check();
        self.stopping = ready == Err(NotReady::Stopping);
        let (statistics, now) = (self.inspection.inspect.statistics(), self.inspection.clock.now());
        let elapsed = self.before.as_ref().map(|(_, then)| now.saturating_duration_since(*then));
        let before =
            self.before.as_ref().zip(elapsed).map(|((statistics, _), elapsed)| (statistics, elapsed));
        let sample = sample(self.inspection.version, ready.err(), before, &statistics);
        let mut text = block("sample", &sample);
        let events = self.inspection.inspect.recent_events(self.last_event);
        if let Some(last) = events.last() {
            self.last_event = Some(last.id);
            let events: Vec<_> = events.iter().map(Listed::from).collect();
            text += &block("events", &json!(events));
        }
        self.before = Some((statistics, now));
        Some((Ok(text.into()), self))
    }
}

/// JSON has no line break that would end the field.
fn block(event: &str, data: &serde_json::Value) -> String {
    format!("event: {event}\ndata: {data}\n\n")
}

/// What the page shows at one moment. Rates are those since it was told `before`.
fn sample(
    version: &str,
    not_ready: Option<NotReady>,
    before: Option<(&Statistics, Duration)>,
    now: &Statistics,
) -> serde_json::Value {
    let rate = |count: fn(&Statistics) -> u64| {
        before.map(|(then, elapsed)| per_second(count(now).saturating_sub(count(then)), elapsed))
    };
    let latency = before.map(|(then, _)| now.latency.since(&then.latency));
    let quantile =
        |share| latency.as_ref().and_then(|latency| latency.quantile(share)).map(|time| time.as_secs_f64());
    let ended: Vec<_> = now.ended.iter().map(|(reason, count)| (words(*reason), count)).collect();
    json!({
        "version": version,
        "not_ready": not_ready.map(|reason| reason.to_string()),
        "streams": now.streams,
        "users": now.users,
        "opened": now.opened,
        "ended": ended,
        "events_per_second": rate(|statistics| statistics.events),
        "deliveries_per_second": rate(|statistics| statistics.deliveries),
        "latency_seconds": [quantile(0.5), quantile(0.95), quantile(0.99)],
        "bus_connected": now.nats_connected,
        "bus_lag": now.nats_lag,
    })
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    // A rate of more than four milliards is none.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64().max(0.001)
}

/// Why a stream has ended, for a person.
fn words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Client => "the client left",
        EndReason::Slow => "the client did not read",
        EndReason::Expired => "the token expired",
        EndReason::Logout => "the user logged out",
        EndReason::Revoked => "the account was disabled or deleted",
        EndReason::MaxAge => "it was old",
        EndReason::Replaced => "the client opened a newer one",
        EndReason::Administrator => "it was ended here",
        EndReason::Stopping => "the service stops",
    }
}

/// An event in the page's list.
#[derive(Serialize)]
struct Listed<'a> {
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    /// None when it is for everyone.
    recipients: Option<usize>,
    age_seconds: f64,
}

impl<'a> From<&'a RecentEvent> for Listed<'a> {
    fn from(event: &'a RecentEvent) -> Self {
        let event_type = event.event_type.as_str();
        Self {
            id: event.id.to_string(),
            event_type: &event_type[..event_type.floor_char_boundary(SHOWN_TYPE_BYTES)],
            recipients: event.recipients,
            age_seconds: event.age.as_secs_f64(),
        }
    }
}
