//! The ledger of all published events and their recipients.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
};

use super::*;

/// All events that were ever published.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<EventId, PublishedEvent>);

/// A published event.
pub(super) struct PublishedEvent {
    /// The recipients: the users whose bit is set.
    pub(super) users: u8,
    pub(super) kind: Kind,
    pub(super) at: Instant,
    /// The minimum number of bytes that the event counts for in the log.
    pub(super) bytes: usize,
}

/// Bytes that an event counts for in addition to twice its text.
const EVENT_BYTES: usize = 300;
/// Bytes that an event counts for per further recipient.
const USER_BYTES: usize = 48;
/// Upper bound of all other bytes of an event and of the mailboxes.
const OTHER_BYTES: usize = 2500;

impl PublishedEvent {
    pub(super) fn new(users: u8, kind: Kind, content: &Content) -> Self {
        let others = usize::try_from(users.count_ones()).expect("few users") - 1;
        let bytes = EVENT_BYTES + others * USER_BYTES + 2 * content.bytes();
        Self { users, kind, at: WallClock::present(), bytes }
    }

    pub(super) fn is_for(&self, user: usize) -> bool {
        self.users & (1 << user) != 0
    }
}

impl Ledger {
    pub(super) fn add(&mut self, id: EventId, published: PublishedEvent) {
        self.0.insert(id, published);
    }

    pub(super) fn get(&self, id: EventId) -> Option<&PublishedEvent> {
        self.0.get(&id)
    }

    /// Returns the first event for `user` after `after` and before `before`.
    pub(super) fn first_between(&self, user: usize, after: EventId, before: EventId) -> Option<EventId> {
        if after >= before {
            return None;
        }
        let mut between = self.0.range((Excluded(after), Excluded(before)));
        between.find(|(_, published)| published.is_for(user)).map(|(id, _)| *id)
    }

    /// Returns the first event for `user` after `after` and up to `last`.
    pub(super) fn first_up_to(&self, user: usize, after: EventId, last: EventId) -> Option<EventId> {
        if after >= last {
            return None;
        }
        let mut between = self.0.range((Excluded(after), Included(last)));
        between.find(|(_, published)| published.is_for(user)).map(|(id, _)| *id)
    }

    /// Returns whether a message after `after` and up to `last` in the same incarnation is no event.
    pub(super) fn has_other_messages(&self, after: EventId, last: EventId) -> bool {
        after < last
            && (after.sequence + 1..=last.sequence)
                .any(|sequence| self.get(EventId { sequence, ..last }).is_none())
    }

    /// Returns the logouts of `user` after `after` and up to `last`.
    pub(super) fn logouts(&self, user: usize, after: EventId, last: EventId) -> Vec<EventId> {
        let all =
            self.0.iter().filter(|(_, published)| published.is_for(user) && published.kind == Kind::Logout);
        all.map(|(id, _)| *id).filter(|id| after < *id && *id <= last).collect()
    }

    /// Returns the first event for `user` after `after`.
    pub(super) fn first_after(&self, user: usize, after: EventId) -> Option<EventId> {
        let mut following = self.0.range((Excluded(after), Unbounded));
        following.find(|(_, published)| published.is_for(user)).map(|(id, _)| *id)
    }

    /// Returns the last event that was published before `time`.
    pub(super) fn last_before(&self, time: Instant) -> Option<EventId> {
        self.0.iter().rev().find(|(_, published)| published.at < time).map(|(id, _)| *id)
    }

    /// Returns whether the events published since `time` may fill a log of `max_bytes`, so that it has no older events.
    pub(super) fn fills(&self, max_bytes: usize, time: Instant) -> bool {
        let since = self.0.values().filter(|published| published.at >= time);
        let bytes: usize = since.map(|published| published.bytes + 2 * USER_BYTES).sum();
        // One user's events take up to half of the log.
        bytes + OTHER_BYTES > max_bytes / 2
    }
}
