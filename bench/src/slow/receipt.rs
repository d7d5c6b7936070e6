//! The events that one slow client has received.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::Serialize;

use crate::{event_stream::Entry, ledger::Event};

/// The receipt of one slow client, which gets every `step`-th event.
pub(super) struct Receipt {
    next: u64,
    step: u64,
    /// Whether a gap was reported since the last event.
    gap_reported: bool,
    /// Events that did not arrive before a later one, and whether a gap was reported instead.
    skipped: BTreeMap<u64, bool>,
    pub(super) counts: Counts,
    /// `None` while the stream is open.
    pub(super) end: Option<End>,
}

/// The counts of one client, or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Events without duplicates.
    pub(super) received: u64,
    /// Received events that arrived after a later one.
    pub(super) out_of_order: u64,
    pub(super) duplicates: u64,
    /// Events that were skipped without a gap.
    pub(super) lost: u64,
    /// Events that reported a gap.
    pub(super) gaps: u64,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// The connection was reset.
    Reset,
    /// The connection was closed in the middle of the response.
    Closed,
    /// The response has ended.
    Ended,
    /// The connection failed in another way, or the response is invalid.
    Failed,
}

impl End {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

impl Receipt {
    /// Returns an empty receipt. The client's events have the numbers `first`, `first + step` and so on.
    pub(super) fn new(first: u64, step: u64) -> Self {
        let (skipped, counts) = (BTreeMap::new(), Counts::default());
        Self { next: first, step, gap_reported: false, skipped, counts, end: None }
    }

    /// Records an entry.
    pub(super) fn enter(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Event(data) => {
                if let Ok(Event { number, .. }) = serde_json::from_slice(data) {
                    self.event(number);
                }
            }
            Entry::Gap => {
                self.counts.gaps += 1;
                self.gap_reported = true;
            }
            Entry::Comment => {}
        }
    }

    fn event(&mut self, number: u64) {
        let Self { next, step, gap_reported, skipped, counts, .. } = self;
        if number >= *next {
            while *next < number {
                counts.lost += u64::from(!*gap_reported);
                skipped.insert(*next, *gap_reported);
                *next += *step;
            }
            *next = number + *step;
            *gap_reported = false;
            counts.received += 1;
        } else if let Some(gap_reported) = skipped.remove(&number) {
            counts.lost -= u64::from(!gap_reported);
            counts.received += 1;
            counts.out_of_order += 1;
        } else {
            counts.duplicates += 1;
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.out_of_order += other.out_of_order;
        self.duplicates += other.duplicates;
        self.lost += other.lost;
        self.gaps += other.gaps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Option<u64> = None;

    /// Checks the counts of the second of three clients after these events and gaps.
    fn check(entries: &[Option<u64>], expected: Counts) {
        let mut receipt = Receipt::new(1, 3);
        for entry in entries {
            match entry {
                None => receipt.enter(Entry::Gap),
                Some(number) => {
                    let event = Event { number: *number, published: 1, padding: String::new() };
                    receipt.enter(Entry::Event(&serde_json::to_vec(&event).expect("JSON")));
                }
            }
        }
        assert_eq!(receipt.counts, expected, "{entries:?}");
    }

    #[test]
    fn events_of_other_clients_are_not_missed() {
        check(&[Some(1), Some(4), Some(7)], Counts { received: 3, ..Counts::default() });
    }

    #[test]
    fn skipped_events_are_lost_unless_a_gap_is_reported() {
        check(&[Some(4), Some(13)], Counts { received: 2, lost: 3, ..Counts::default() });
        check(&[Some(1), GAP, Some(13)], Counts { received: 2, gaps: 1, ..Counts::default() });
        check(&[GAP, Some(7), Some(13)], Counts { received: 2, gaps: 1, lost: 1, ..Counts::default() });
    }

    #[test]
    fn late_events_and_duplicates_are_distinguished() {
        check(
            &[Some(1), Some(7), Some(4), Some(4), Some(10)],
            Counts { received: 4, out_of_order: 1, duplicates: 1, ..Counts::default() },
        );
        check(
            &[GAP, Some(4), Some(1)],
            Counts { received: 2, out_of_order: 1, gaps: 1, ..Counts::default() },
        );
    }
}
