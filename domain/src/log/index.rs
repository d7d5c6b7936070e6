//! The events of one user in the log.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{Entry, Lag};
use crate::{capacity::reduced_capacity, gap::GapReason, notification::EventId};

/// The event up to which events have been removed, and the reason. Everything after it is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) after: EventId,
    pub(super) reason: GapReason,
    /// When that event was recorded. None if nothing was removed, and the log merely starts there.
    pub(super) recorded: Option<Instant>,
}

impl Floor {
    /// Returns the reason why events after `position` are missing. None if all of them are held.
    pub(super) fn gap_after(&self, position: EventId) -> Option<GapReason> {
        if position.incarnation == self.after.incarnation {
            self.after.follows(position).then_some(self.reason)
        } else {
            Some(GapReason::Unknown)
        }
    }

    /// Moves the floor up to `other`, unless it is there already.
    pub(super) fn raise(&mut self, other: Self) {
        if other.after.follows(self.after) {
            *self = other;
        }
    }
}

/// The events of one user in the log, the oldest first.
#[derive(Debug)]
pub(super) struct Index<F> {
    pub(super) floor: Floor,
    entries: VecDeque<Indexed<F>>,
    /// The bytes of the events in the log, with all their recipients.
    bytes: u64,
    /// The bytes of all events that were ever added, each as for one user.
    added_bytes: u64,
    /// The bytes of all events that were ever removed, each as for one user.
    removed_bytes: u64,
}

#[derive(Debug)]
struct Indexed<F> {
    entry: Arc<Entry<F>>,
    /// The value of `added_bytes` when this event had been added.
    cumulative_bytes: u64,
}

impl<F> Index<F> {
    /// Creates an empty index that is complete after `floor`.
    pub(super) fn new(floor: Floor) -> Self {
        Self { floor, entries: VecDeque::new(), bytes: 0, added_bytes: 0, removed_bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Returns the bytes that the events of the index count for in the log, with all their recipients.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the event that was added last.
    pub(super) fn newest(&self) -> Option<&Arc<Entry<F>>> {
        self.entries.back().map(|indexed| &indexed.entry)
    }

    /// Returns the event that was added first.
    pub(super) fn oldest(&self) -> Option<&Arc<Entry<F>>> {
        self.entries.front().map(|indexed| &indexed.entry)
    }

    pub(super) fn push(&mut self, entry: Arc<Entry<F>>) {
        self.bytes += entry.bytes as u64;
        self.added_bytes += entry.bytes_for_one as u64;
        if self.entries.capacity() == 0 {
            // By default the first event would reserve room for four, but most users get one event at a time.
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(Indexed { entry, cumulative_bytes: self.added_bytes });
    }

    /// Removes the oldest event for `reason` and raises the floor to it.
    pub(super) fn pop(&mut self, reason: GapReason) -> Option<Arc<Entry<F>>> {
        let Indexed { entry, cumulative_bytes } = self.entries.pop_front()?;
        self.bytes -= entry.bytes as u64;
        self.removed_bytes = cumulative_bytes;
        self.floor = Floor { after: entry.notification.id, reason, recorded: Some(entry.recorded) };
        // Frees the memory that a burst of events took.
        if let Some(capacity) = reduced_capacity(self.entries.capacity(), self.entries.len()) {
            self.entries.shrink_to(capacity);
        }
        Some(entry)
    }

    /// Returns the reason why events after `position` are missing, and the event after which all are held.
    pub(super) fn gap_after(&self, position: EventId) -> Option<(GapReason, EventId)> {
        Some((self.floor.gap_after(position)?, self.floor.after))
    }

    /// Returns the events after `position`, the oldest first.
    pub(super) fn after(&self, position: EventId) -> impl Iterator<Item = &Arc<Entry<F>>> {
        self.entries.range(self.first_after(position)..).map(|indexed| &indexed.entry)
    }

    /// Returns how many events follow `position`, and their bytes.
    pub(super) fn lag_after(&self, position: EventId) -> Lag {
        let first = self.first_after(position);
        let before =
            first.checked_sub(1).map_or(self.removed_bytes, |last| self.entries[last].cumulative_bytes);
        Lag { events: self.entries.len() - first, bytes: self.added_bytes - before }
    }

    /// Returns the last event recorded before `time`, or the floor. Returns a reason too if events since `time` have been removed.
    pub(super) fn position_before(&self, time: Instant) -> (EventId, Option<GapReason>) {
        let first = self.entries.partition_point(|indexed| indexed.entry.recorded < time);
        if let Some(last) = first.checked_sub(1) {
            return (self.entries[last].entry.notification.id, None);
        }
        let Floor { after, reason, recorded } = self.floor;
        (after, recorded.filter(|recorded| *recorded >= time).map(|_| reason))
    }

    /// Returns where in `entries` the first event after `position` is. All events come after a position in an earlier incarnation.
    fn first_after(&self, position: EventId) -> usize {
        let follows = |indexed: &Indexed<F>| {
            let id = indexed.entry.notification.id;
            id.incarnation != position.incarnation || id.sequence > position.sequence
        };
        match self.entries.len() {
            0 => 0,
            // The common case, without a search: the stream has taken everything but the last event.
            len if len < 2 || !follows(&self.entries[len - 2]) => {
                len - usize::from(follows(&self.entries[len - 1]))
            }
            _ => self.entries.partition_point(|indexed| !follows(indexed)),
        }
    }
}
