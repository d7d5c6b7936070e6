//! What each stream has to get, and what it got.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::event_stream::Entry;

/// What an event tells: its number, and when it was published.
#[derive(Deserialize, Serialize)]
pub(crate) struct Event {
    pub(crate) number: u64,
    /// Since 1970, in nanoseconds.
    pub(crate) published: u64,
    /// Nothing, in the length that was asked for.
    #[serde(default)]
    pub(crate) padding: String,
}

/// The time since 1970, in nanoseconds.
#[expect(clippy::disallowed_methods, reason = "this is no part of the service, and has no clock of its own")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

/// What all streams got.
pub(crate) struct Ledger {
    pub(crate) arrived: u64,
    pub(crate) comments: u64,
    /// Events that told a client that it misses others.
    pub(crate) gaps: u64,
    /// Events that came again, or after a later one.
    pub(crate) out_of_order: u64,
    /// Streams that ended before they should.
    pub(crate) lost_streams: u64,
    /// When the first event was published and when the last one arrived, since 1970, in nanoseconds.
    first_published: u64,
    last_arrived: u64,
    /// What it took from publishing to arrival, in microseconds.
    latency: Histogram<u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let minute = Duration::from_mins(1).as_micros();
        let latency =
            Histogram::new_with_max(u64::try_from(minute).unwrap_or(u64::MAX), 3).expect("right bounds");
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

    /// Something was published at this time that no stream gets.
    pub(crate) fn published(&mut self, at: u64) {
        self.first_published = self.first_published.min(at);
    }

    /// From the first publishing to the last arrival.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.last_arrived.saturating_sub(self.first_published))
    }
}

/// What one stream got so far.
pub(crate) struct Account {
    next: u64,
    ledger: Arc<Mutex<Ledger>>,
}

impl Account {
    pub(crate) fn new(ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { next: 0, ledger }
    }

    /// Enters what has arrived. An event that is missing is one that never does.
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

    /// The stream has ended before it should.
    pub(crate) fn close(self) {
        self.ledger.lock().lost_streams += 1;
    }
}

/// What a stream got in one piece.
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
    fn what_comes_again_or_late_is_not_counted_as_arrived() {
        let ledger = Arc::new(Mutex::new(Ledger::new()));
        let mut account = Account::new(Arc::clone(&ledger));
        let mut arrivals = Arrivals::default();
        for number in [0, 1, 1, 5, 4, 6] {
            let event = Event { number, published: now() - 2_000_000, padding: String::new() };
            arrivals.add(Entry::Event(&serde_json::to_vec(&event).expect("JSON")));
        }
        arrivals.add(Entry::Comment);
        arrivals.add(Entry::Gap);
        account.enter(&arrivals);
        let ledger = ledger.lock();
        assert_eq!((ledger.arrived, ledger.out_of_order, ledger.comments, ledger.gaps), (4, 2, 1, 1));
        assert!(ledger.latency(0.5) >= 2000);
        assert!(ledger.duration() >= Duration::from_millis(2));
    }

    #[test]
    fn what_no_stream_gets_counts_as_published() {
        let ledger = Arc::new(Mutex::new(Ledger::new()));
        let published = now() - 5_000_000_000;
        ledger.lock().published(published);
        let event = Event { number: 0, published: now(), padding: String::new() };
        let mut arrivals = Arrivals::default();
        arrivals.add(Entry::Event(&serde_json::to_vec(&event).expect("JSON")));
        Account::new(Arc::clone(&ledger)).enter(&arrivals);
        assert!(ledger.lock().duration() >= Duration::from_secs(5));
    }
}
