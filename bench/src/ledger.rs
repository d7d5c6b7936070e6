//! What each stream has to get, and what it got.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

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
    /// Events that came again, or after a later one.
    pub(crate) out_of_order: u64,
    /// Streams that ended before they should.
    pub(crate) lost_streams: u64,
    /// What it took from publishing to arrival, in microseconds.
    latency: Histogram<u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let minute = Duration::from_mins(1).as_micros();
        let latency =
            Histogram::new_with_max(u64::try_from(minute).unwrap_or(u64::MAX), 3).expect("right bounds");
        Self { arrived: 0, out_of_order: 0, lost_streams: 0, latency }
    }

    pub(crate) fn latency(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }
}

/// What one stream got so far.
#[derive(Default)]
pub(crate) struct Account {
    next: u64,
}

impl Account {
    /// Enters an event. An event that is missing is one that never arrives.
    pub(crate) fn enter(&mut self, event: &Event, ledger: &mut Ledger) {
        if event.number < self.next {
            ledger.out_of_order += 1;
            return;
        }
        self.next = event.number + 1;
        ledger.arrived += 1;
        ledger.latency.saturating_record(now().saturating_sub(event.published) / 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_or_late_is_not_counted_as_arrived() {
        let (mut account, mut ledger) = (Account::default(), Ledger::new());
        for number in [0, 1, 1, 5, 4, 6] {
            let event = Event { number, published: now() - 2_000_000, padding: String::new() };
            account.enter(&event, &mut ledger);
        }
        assert_eq!((ledger.arrived, ledger.out_of_order), (4, 2));
        assert!(ledger.latency(0.5) >= 2000);
    }
}
