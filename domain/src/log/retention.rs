//! How long the log retains events, and how it evicts them.

use std::{sync::Arc, time::Instant, vec};

use super::{
    Entry, EventLog, Extent, Floor, LogLimits, MAILBOX_BYTES, Mailbox, append::MAILBOXES_PER_BATCH,
    entry::RECIPIENT_BYTES,
};
use crate::{capacity::reduced_capacity, gap::GapReason};

/// The log remembers whose events it has evicted for its maximum age and one part in this many longer. A client may return with an id that
/// is older than the end of its stream by that much.
const FLOOR_LEEWAY_DIVISOR: u32 = 4;

/// An event in the log, and the mailboxes that hold it.
#[derive(Debug)]
pub(super) struct RetainedEntry<F, C> {
    pub(super) entry: Arc<Entry<F>>,
    /// The bytes that the event counts for in the log.
    pub(super) bytes: usize,
    /// The number of mailboxes that hold the event.
    holders: usize,
    /// The mailboxes to which the event was added. Some may have removed it.
    mailboxes: Vec<Arc<Mailbox<F, C>>>,
    /// Whether all recipients have the event.
    is_appended: bool,
    /// Whether mailboxes that are created later get the event. The log then retains it even if no mailbox holds it.
    is_for_later_mailboxes: bool,
}

impl<F, C> RetainedEntry<F, C> {
    pub(super) fn new(entry: Arc<Entry<F>>, is_for_later_mailboxes: bool) -> Self {
        let bytes = entry.bytes;
        Self { entry, bytes, holders: 0, mailboxes: Vec::new(), is_appended: false, is_for_later_mailboxes }
    }

    /// Records that the event was added to `mailboxes`.
    pub(super) fn add_mailboxes(&mut self, mailboxes: Vec<Arc<Mailbox<F, C>>>) {
        self.holders += mailboxes.len();
        if self.mailboxes.is_empty() {
            self.mailboxes = mailboxes;
        } else {
            self.mailboxes.extend(mailboxes);
        }
    }

    fn is_unused(&self) -> bool {
        self.holders == 0 && self.is_appended && !self.is_for_later_mailboxes
    }
}

/// An eviction in progress: some mailboxes may still hold the event.
#[derive(Debug)]
pub(super) struct Eviction<F, C> {
    number: u64,
    reason: GapReason,
    mailboxes: vec::IntoIter<Arc<Mailbox<F, C>>>,
}

impl<F, C> EventLog<F, C> {
    /// Records that all recipients have the event. It counts from now on, because only now each of them has at most a user's share of the log.
    pub(super) fn mark_appended(&mut self, number: u64) {
        if let Some(retained) = self.entries.get_mut(&number) {
            self.bytes += retained.entry.bytes;
            retained.is_appended = true;
            retained.mailboxes.shrink_to_fit();
            if retained.is_unused() {
                self.remove_entry(number);
            }
        }
    }

    /// Adds the retained events for everyone to a new mailbox.
    pub(super) fn add_events_for_everyone(&mut self, mailbox: &Arc<Mailbox<F, C>>) {
        let Some(Extent { floor, .. }) = self.extent else { return };
        for number in &self.for_everyone {
            if let Some(retained) = self.entries.get_mut(number) {
                mailbox.lock().add(&retained.entry, floor);
                retained.add_mailboxes(vec![Arc::clone(mailbox)]);
                retained.bytes += RECIPIENT_BYTES;
                self.bytes += RECIPIENT_BYTES;
            }
        }
    }

    /// Records that one mailbox has removed the event. The log drops the event with its last mailbox.
    pub(super) fn release(&mut self, number: u64) {
        if let Some(retained) = self.entries.get_mut(&number) {
            retained.holders -= 1;
            if retained.is_unused() {
                self.remove_entry(number);
            }
        }
    }

    fn remove_entry(&mut self, number: u64) -> Option<RetainedEntry<F, C>> {
        let retained = self.entries.remove(&number)?;
        self.bytes -= retained.bytes;
        Some(retained)
    }

    /// Evicts the events that exceed the limits of the log at `now`, up to a bounded number of mailboxes. Calls `abandoned` for each event
    /// whose last reader loses it.
    ///
    /// Returns whether there is more to evict. The caller may give others a turn at the log before it calls again.
    pub fn evict(&mut self, now: Instant, abandoned: &mut dyn FnMut(&Entry<F>)) -> bool {
        let mut steps = 4 * MAILBOXES_PER_BATCH;
        while steps > 0 {
            let Some(Eviction { number, reason, mailboxes }) = &mut self.eviction else {
                let Some((number, reason)) = self.next_to_evict(now) else { return false };
                self.start_eviction(number, reason);
                continue;
            };
            match mailboxes.next() {
                Some(mailbox) => mailbox.lock().evict(*number, *reason, abandoned),
                None => self.eviction = None,
            }
            steps -= 1;
        }
        true
    }

    /// Removes the oldest event from the log. Its mailboxes still hold it.
    fn start_eviction(&mut self, number: u64, reason: GapReason) {
        let Some(RetainedEntry { entry, mailboxes, .. }) = self.remove_entry(number) else { return };
        if self.for_everyone.pop_front_if(|oldest| *oldest == number).is_some() {
            // Users without a mailbox miss the event from now on.
            self.raise_floor(entry.floor(reason));
        }
        self.eviction = Some(Eviction { number, reason, mailboxes: mailboxes.into_iter() });
    }

    /// Raises the floor of users without a mailbox.
    pub(super) fn raise_floor(&mut self, floor: Floor) {
        if let Some(extent) = &mut self.extent {
            extent.floor.raise(floor);
        }
    }

    /// Returns the oldest event, with the reason to evict it at `now`. None if it stays.
    fn next_to_evict(&self, now: Instant) -> Option<(u64, GapReason)> {
        let (number, oldest) = self.entries.first_key_value()?;
        let age = now.saturating_duration_since(oldest.entry.recorded);
        if !oldest.is_appended {
            None
        } else if !self.is_history_off() && age >= self.limits.max_age {
            Some((*number, GapReason::Expired))
        } else if self.is_too_large() && self.entries.len() > 1 {
            Some((*number, GapReason::Limit))
        } else {
            None
        }
    }

    fn is_too_large(&self) -> bool {
        self.bytes + self.mailbox_bytes() > self.limits.max_bytes
    }

    fn mailbox_bytes(&self) -> usize {
        self.mailboxes.len() * MAILBOX_BYTES
    }

    fn is_current(&self, mailbox: &Arc<Mailbox<F, C>>) -> bool {
        self.mailbox(mailbox.user()).is_some_and(|current| Arc::ptr_eq(current, mailbox))
    }

    /// Frees the memory that the mailboxes of a crowd took.
    pub(super) fn shrink(&mut self) {
        if let Some(capacity) = reduced_capacity(self.mailboxes.capacity(), self.mailboxes.len()) {
            self.mailboxes.shrink_to(capacity);
        }
    }

    /// Removes what nobody needs any more from `mailboxes`, and mailboxes that have become empty.
    ///
    /// Without a history these are the events that every stream has taken. With one it is the knowledge that a user's events were evicted,
    /// once that is long ago. What was written after `confirmed_until` may not have arrived, so the knowledge of later events stays. If the
    /// mailboxes take more than half of the log, users without a stream are forgotten at once. Calls `abandoned` for each event whose last
    /// reader has ended before it.
    pub fn prune(
        &mut self,
        mailboxes: &[Arc<Mailbox<F, C>>],
        now: Instant,
        confirmed_until: Option<Instant>,
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) {
        let LogLimits { max_age, .. } = self.limits;
        let time = now
            .checked_sub(max_age + max_age / FLOOR_LEEWAY_DIVISOR)
            .and_then(|time| Some(time.min(confirmed_until?)));
        // The other half is for events, which are evicted instead.
        let has_too_many_mailboxes = self.mailbox_bytes() > self.limits.max_bytes / 2;
        let mut removed = Vec::new();
        for mailbox in mailboxes {
            let mut contents = mailbox.lock();
            if self.is_history_off() {
                removed.extend(contents.remove_taken(abandoned));
            }
            // Without this, a large number of users whose events were evicted could exceed the limit by themselves.
            let time = if has_too_many_mailboxes && !contents.has_streams() { Some(now) } else { time };
            if let Some(floor) = contents.prune(time) {
                self.raise_floor(floor);
            }
            // The caller collected the mailboxes earlier, so the user may have another one by now.
            if contents.is_unused() && self.is_current(mailbox) {
                self.mailboxes.remove(mailbox.user());
            }
        }
        for entry in removed {
            self.release(entry.number);
        }
        self.shrink();
    }
}
