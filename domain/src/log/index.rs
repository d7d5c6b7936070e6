//! The events of the log that are for one user.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::Entry;
use crate::{gap::GapReason, notification::EventId, spare::shrunk};

/// An event up to which events are not held any more, and the reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) after: EventId,
    pub(super) reason: GapReason,
    /// When that event was recorded; none where the log itself starts.
    pub(super) recorded: Option<Instant>,
}

impl Floor {
    /// Whether everything after `position` is held; else the reason why not.
    pub(super) fn gap_after(&self, position: EventId) -> Option<GapReason> {
        if position.incarnation == self.after.incarnation {
            self.after.follows(position).then_some(self.reason)
        } else {
            Some(GapReason::Unknown)
        }
    }

    /// More is missing: up to `other`, unless that comes before.
    pub(super) fn raise(&mut self, other: Self) {
        if other.after.follows(self.after) {
            *self = other;
        }
    }
}

/// The events of the log that are for one user.
#[derive(Debug)]
pub(super) struct Index<F> {
    pub(super) floor: Floor,
    entries: VecDeque<Indexed<F>>,
    /// Bytes of all events that were ever added.
    added: u64,
    /// Bytes of those that were removed.
    removed: u64,
}

#[derive(Debug)]
struct Indexed<F> {
    entry: Arc<Entry<F>>,
    /// Bytes of all events that were added, up to this one.
    through: u64,
}

impl<F> Index<F> {
    /// An empty index: nothing after `floor` is missing.
    pub(super) fn new(floor: Floor) -> Self {
        Self { floor, entries: VecDeque::new(), added: 0, removed: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it holds more than one event.
    pub(super) fn has_several(&self) -> bool {
        self.entries.len() > 1
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.entries.capacity()
    }

    /// Bytes of the events that it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.added - self.removed
    }

    /// The event that was added last.
    pub(super) fn newest(&self) -> Option<&Arc<Entry<F>>> {
        self.entries.back().map(|indexed| &indexed.entry)
    }

    /// The event that was added first.
    pub(super) fn oldest(&self) -> Option<&Arc<Entry<F>>> {
        self.entries.front().map(|indexed| &indexed.entry)
    }

    pub(super) fn push(&mut self, entry: Arc<Entry<F>>) {
        self.added += entry.bytes as u64;
        self.entries.push_back(Indexed { entry, through: self.added });
    }

    /// Removes the oldest event. From now on it is missing for `reason`.
    pub(super) fn pop(&mut self, reason: GapReason) -> Option<Arc<Entry<F>>> {
        let Indexed { entry, through } = self.entries.pop_front()?;
        self.removed = through;
        self.floor = Floor { after: entry.notification.id, reason, recorded: Some(entry.recorded) };
        // What a burst took is given back.
        if let Some(capacity) = shrunk(self.entries.capacity(), self.entries.len()) {
            self.entries.shrink_to(capacity);
        }
        Some(entry)
    }

    /// The reason why events after `position` are missing, and the event after which none are.
    pub(super) fn gap_after(&self, position: EventId) -> Option<(GapReason, EventId)> {
        Some((self.floor.gap_after(position)?, self.floor.after))
    }

    /// The events after `position`, the oldest first.
    pub(super) fn after(&self, position: EventId) -> impl Iterator<Item = &Arc<Entry<F>>> {
        self.entries.range(self.place_after(position)..).map(|indexed| &indexed.entry)
    }

    /// How many events there are after `position`, and how many bytes they count for.
    pub(super) fn amount_after(&self, position: EventId) -> (usize, u64) {
        let place = self.place_after(position);
        let before = place.checked_sub(1).map_or(self.removed, |last| self.entries[last].through);
        (self.entries.len() - place, self.added - before)
    }

    /// The last event before `time`, or the floor. With it comes a reason when events since `time` are not held any more.
    pub(super) fn position_before(&self, time: Instant) -> (EventId, Option<GapReason>) {
        let place = self.entries.partition_point(|indexed| indexed.entry.recorded < time);
        if let Some(last) = place.checked_sub(1) {
            return (self.entries[last].entry.notification.id, None);
        }
        let Floor { after, reason, recorded } = self.floor;
        (after, recorded.filter(|recorded| *recorded >= time).map(|_| reason))
    }

    fn place_after(&self, position: EventId) -> usize {
        let follows = |indexed: &Indexed<F>| indexed.entry.notification.id.follows(position);
        match self.entries.len() {
            0 => 0,
            // Mostly a stream has taken everything but the last event.
            len if len < 2 || !follows(&self.entries[len - 2]) => {
                len - usize::from(follows(&self.entries[len - 1]))
            }
            _ => self.entries.partition_point(|indexed| !follows(indexed)),
        }
    }
}
