//! The event stream of the page. Without an open page no statistics are sampled.

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

/// Interval of the samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Maximum length of a shown event type, in bytes. Publishers may use any text.
const MAX_SHOWN_TYPE_BYTES: usize = 120;

/// Streams a sample of the statistics every second, and the events published since the last one.
#[handler]
pub(super) fn follow(Data(inspection): Data<&Arc<Inspection>>) -> Response {
    let Ok(permit) = Arc::clone(&inspection.pages).try_acquire_owned() else {
        let error = "too many pages are open";
        return (StatusCode::SERVICE_UNAVAILABLE, error).into();
    };
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        inspection: Arc::clone(inspection),
        interval,
        previous: None,
        last_event: None,
        stopping: false,
        _permit: permit,
    };
    let blocks = stream::unfold(feed, async |feed| feed.next().await);
    Response::builder()
        .content_type("text/event-stream")
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(blocks))
}

/// The feed of an open page.
struct Feed {
    inspection: Arc<Inspection>,
    interval: Interval,
    /// The statistics of the last sample, and its time.
    previous: Option<(Statistics, std::time::Instant)>,
    last_event: Option<EventId>,
    stopping: bool,
    /// The permit for one of the open pages.
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    /// Returns the next blocks of the stream, or `None` when the service is stopping.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.stopping {
            return None;
        }
        self.interval.tick().await;
        let ready = self.inspection.readiness.check();
        self.stopping = ready == Err(NotReady::Stopping);
        let (statistics, now) = (self.inspection.inspect.statistics(), self.inspection.clock.now());
        let elapsed = self.previous.as_ref().map(|(_, then)| now.saturating_duration_since(*then));
        let previous =
            self.previous.as_ref().zip(elapsed).map(|((statistics, _), elapsed)| (statistics, elapsed));
        let sample = sample(self.inspection.version, ready.err(), previous, &statistics);
        let mut text = block("sample", &sample);
        let events = self.inspection.inspect.recent_events(self.last_event);
        if let Some(last) = events.last() {
            self.last_event = Some(last.id);
            let events: Vec<_> = events.iter().map(EventRow::from).collect();
            text += &block("events", &json!(events));
        }
        self.previous = Some((statistics, now));
        Some((Ok(text.into()), self))
    }
}

/// Encodes an event. `serde_json` writes no line break, which would end the field.
fn block(event: &str, data: &serde_json::Value) -> String {
    format!("event: {event}\ndata: {data}\n\n")
}

/// Returns a sample for the page. Rates and latencies cover the time since `previous`.
fn sample(
    version: &str,
    not_ready: Option<NotReady>,
    previous: Option<(&Statistics, Duration)>,
    now: &Statistics,
) -> serde_json::Value {
    let rate = |count: fn(&Statistics) -> u64| {
        previous.map(|(then, elapsed)| per_second(count(now).saturating_sub(count(then)), elapsed))
    };
    let latency = previous.map(|(then, _)| now.latency.since(&then.latency));
    let quantile =
        |share| latency.as_ref().and_then(|latency| latency.quantile(share)).map(|time| time.as_secs_f64());
    let ended: Vec<_> = now.ended.iter().map(|(reason, count)| (describe(*reason), count)).collect();
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
    // No count reaches four billion in an interval.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64().max(0.001)
}

/// Returns the text for an end reason.
fn describe(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Client => "the client disconnected",
        EndReason::WriteTimeout => "the client did not read",
        EndReason::Expired => "the token expired",
        EndReason::Logout => "the user logged out",
        EndReason::Revoked => "the account was disabled or deleted",
        EndReason::MaxAge => "it reached its maximum age",
        EndReason::Replaced => "a newer stream replaced it",
        EndReason::Administrator => "an administrator ended it",
        EndReason::Stopping => "the service stopped",
        EndReason::HandedOver => "another process continues it",
    }
}

/// An event in the list of the page.
#[derive(Serialize)]
struct EventRow<'a> {
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    /// The number of recipients; `None` for everyone.
    recipients: Option<usize>,
    age_seconds: f64,
}

impl<'a> From<&'a RecentEvent> for EventRow<'a> {
    fn from(event: &'a RecentEvent) -> Self {
        let event_type = event.event_type.as_str();
        Self {
            id: event.id.to_string(),
            event_type: &event_type[..event_type.floor_char_boundary(MAX_SHOWN_TYPE_BYTES)],
            recipients: event.recipients,
            age_seconds: event.age.as_secs_f64(),
        }
    }
}
