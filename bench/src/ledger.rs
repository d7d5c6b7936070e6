//! A record of the events on all streams.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::event_stream::Entry;

/// The content of an event.
#[derive(Deserialize, Serialize)]
pub(crate) struct Event {
    pub(crate) number: u64,
    /// The time of publication since 1970, in nanoseconds.
    pub(crate) published: u64,
    /// Additional content.
    #[serde(default)]
    pub(crate) padding: String,
}

/// Returns the time since 1970, in nanoseconds.
#[expect(clippy::disallowed_methods, reason = "this is no part of the service, and has no clock of its own")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

/// The totals of all streams.
pub(crate) struct Ledger {
    pub(crate) arrived: u64,
    pub(crate) comments: u64,
    /// Events that reported a gap.
    pub(crate) gaps: u64,
    /// Events that arrived twice, or after a later one.
    pub(crate) out_of_order: u64,
    /// Streams that ended early.
    pub(crate) lost_streams: u64,
    /// The times of the first publication and of the last arrival since 1970, in nanoseconds.
    first_published: u64,
    last_arrived: u64,
    /// The time from publication to arrival, in microseconds.
    latency: Histogram<u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let minute = Duration::from_mins(1).as_micros();
        let latency =
            Histogram::new_with_max(u64::try_from(minute).unwrap_or(u64::MAX), 3).expect("valid bounds");
        Self {
            arrived: 0,
            comments: 0,
            gaps: 0,
            out_of_order: 0,
            lost_streams: 0,
            first_published: u64::MAX,
            last_arrived: 0,
            latency,
        }
    }

    pub(crate) fn latency(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }

    /// Records the publication of an event that no stream gets.
    pub(crate) fn published(&mut self, at: u64) {
        self.first_published = self.first_published.min(at);
    }

    /// Returns the time from the first publication to the last arrival.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.last_arrived.saturating_sub(self.first_published))
    }
}

/// The position of one stream.
pub(crate) struct StreamLedger {
    next: u64,
    ledger: Arc<Mutex<Ledger>>,
}

impl StreamLedger {
    pub(crate) fn new(ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { next: 0, ledger }
    }

    /// Records arrivals. An event that is skipped counts as never arrived.
    pub(crate) fn enter(&mut self, arrivals: &Arrivals) {
        let mut ledger = self.ledger.lock();
        ledger.comments += arrivals.comments;
        ledger.gaps += arrivals.gaps;
        for event in &arrivals.events {
            if event.number < self.next {
                ledger.out_of_order += 1;
                continue;
            }
            self.next = event.number + 1;
            ledger.arrived += 1;
            ledger.published(event.published);
            ledger.last_arrived = now();
            let taken = ledger.last_arrived.saturating_sub(event.published);
            ledger.latency.saturating_record(taken / 1000);
        }
    }

    /// Records that the stream has ended early.
    pub(crate) fn close(self) {
        self.ledger.lock().lost_streams += 1;
    }
}

/// The entries of a stream in one read.
#[derive(Default)]
pub(crate) struct Arrivals {
    events: Vec<Event>,
    comments: u64,
    gaps: u64,
}

impl Arrivals {
    pub(crate) fn add(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Event(data) => self.events.extend(serde_json::from_slice(data)),
            Entry::Comment => self.comments += 1,
            Entry::Gap => self.gaps += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_and_late_events_are_not_arrivals() {
        let ledger = Arc::new(Mutex::new(Ledger::new()));
        let mut stream_ledger = StreamLedger::new(Arc::clone(&ledger));
        let mut arrivals = Arrivals::default();
        for number in [0, 1, 1, 5, 4, 6] {
            let event = Event { number, published: now() - 2_000_000, padding: String::new() };
            arrivals.add(Entry::Event(&serde_json::to_vec(&event).expect("JSON")));
        }
        arrivals.add(Entry::Comment);
        arrivals.add(Entry::Gap);
        stream_ledger.enter(&arrivals);
        let ledger = ledger.lock();
        assert_eq!((ledger.arrived, ledger.out_of_order, ledger.comments, ledger.gaps), (4, 2, 1, 1));
        assert!(ledger.latency(0.5) >= 2000);
        assert!(ledger.duration() >= Duration::from_millis(2));
    }

    #[test]
    fn unreceived_event_starts_the_duration() {
        let ledger = Arc::new(Mutex::new(Ledger::new()));
        let published = now() - 5_000_000_000;
        ledger.lock().published(published);
        let event = Event { number: 0, published: now(), padding: String::new() };
        let mut arrivals = Arrivals::default();
        arrivals.add(Entry::Event(&serde_json::to_vec(&event).expect("JSON")));
        StreamLedger::new(Arc::clone(&ledger)).enter(&arrivals);
        assert!(ledger.lock().duration() >= Duration::from_secs(5));
    }
}
