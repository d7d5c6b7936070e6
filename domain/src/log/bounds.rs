//! What the log holds, and what it removes.

use std::{sync::Arc, time::Instant, vec};

use super::{
    Entry, EventLog, Extent, Floor, LogLimits, MAILBOX_BYTES, Mailbox, append::STEP, entry::RECIPIENT_BYTES,
};
use crate::{gap::GapReason, spare::shrunk};

/// For so much longer, as a part of the log's age, it is known of which users something was removed: the id that a client comes back with may be so
/// much older than its stream's end.
const FLOOR_LEEWAY: u32 = 4;

/// An event, and the mailboxes that have it.
#[derive(Debug)]
pub(super) struct Held<F, C> {
    pub(super) entry: Arc<Entry<F>>,
    /// What it counts for in the log.
    pub(super) bytes: usize,
    /// So many mailboxes hold it.
    holding: usize,
    /// The mailboxes that it was put into.
    mailboxes: Vec<Arc<Mailbox<F, C>>>,
    /// Whether it was put into all mailboxes that it is for.
    is_appended: bool,
    /// Whether it stays although no mailbox holds it: there will be more that it is for.
    outlives_mailboxes: bool,
}

impl<F, C> Held<F, C> {
    pub(super) fn new(entry: Arc<Entry<F>>, bytes: usize, outlives_mailboxes: bool) -> Self {
        Self { entry, bytes, holding: 0, mailboxes: Vec::new(), is_appended: false, outlives_mailboxes }
    }

    /// It was put into these mailboxes.
    pub(super) fn put_into(&mut self, mailboxes: Vec<Arc<Mailbox<F, C>>>) {
        self.holding += mailboxes.len();
        if self.mailboxes.is_empty() {
            self.mailboxes = mailboxes;
        } else {
            self.mailboxes.extend(mailboxes);
        }
    }

    fn is_unused(&self) -> bool {
        self.holding == 0 && self.is_appended && !self.outlives_mailboxes
    }
}

/// An event that is being removed: some mailboxes may still hold it.
#[derive(Debug)]
pub(super) struct Removing<F, C> {
    number: u64,
    reason: GapReason,
    mailboxes: vec::IntoIter<Arc<Mailbox<F, C>>>,
}

impl<F, C> EventLog<F, C> {
    /// An event was put into all mailboxes that it is for.
    pub(super) fn hold(&mut self, number: u64) {
        if let Some(held) = self.entries.get_mut(&number) {
            held.is_appended = true;
            held.mailboxes.shrink_to_fit();
            if held.is_unused() {
                self.drop_entry(number);
            }
        }
    }

    /// Puts the events for everyone that are held into a new mailbox.
    pub(super) fn catch_up(&mut self, mailbox: &Arc<Mailbox<F, C>>) {
        let Some(Extent { floor, .. }) = self.extent else { return };
        for number in &self.for_everyone {
            if let Some(held) = self.entries.get_mut(number) {
                mailbox.lock().add(&held.entry, floor);
                held.put_into(vec![Arc::clone(mailbox)]);
                held.bytes += RECIPIENT_BYTES;
                self.bytes += RECIPIENT_BYTES;
            }
        }
    }

    /// One mailbox less holds the event.
    pub(super) fn release(&mut self, number: u64) {
        if let Some(held) = self.entries.get_mut(&number) {
            held.holding -= 1;
            if held.is_unused() {
                self.drop_entry(number);
            }
        }
    }

    fn drop_entry(&mut self, number: u64) -> Option<Held<F, C>> {
        let held = self.entries.remove(&number)?;
        self.bytes -= held.bytes;
        Some(held)
    }

    /// Removes what is older than the log is to reach at `now`, and what is too much. True when there is more to remove: others may have their
    /// turn at the log first.
    pub fn evict(&mut self, now: Instant) -> bool {
        let mut removals = 4 * STEP;
        while removals > 0 {
            let Some(Removing { number, reason, mailboxes }) = &mut self.removing else {
                let Some((number, reason)) = self.removable(now) else { return false };
                self.start_removing(number, reason);
                continue;
            };
            match mailboxes.next() {
                Some(mailbox) => mailbox.lock().remove(*number, *reason),
                None => self.removing = None,
            }
            removals -= 1;
        }
        true
    }

    /// Takes the oldest event out of the log; the mailboxes have it still.
    fn start_removing(&mut self, number: u64, reason: GapReason) {
        let Some(Held { entry, mailboxes, .. }) = self.drop_entry(number) else { return };
        if self.for_everyone.pop_front_if(|oldest| *oldest == number).is_some() {
            // Users without a mailbox miss it from now on.
            self.raise_floor(entry.floor(reason));
        }
        self.removing = Some(Removing { number, reason, mailboxes: mailboxes.into_iter() });
    }

    /// Up to `floor` events may be missing.
    pub(super) fn raise_floor(&mut self, floor: Floor) {
        if let Some(extent) = &mut self.extent {
            extent.floor.raise(floor);
        }
    }

    /// The oldest event, if it is to be removed at `now`.
    fn removable(&self, now: Instant) -> Option<(u64, GapReason)> {
        let (number, oldest) = self.entries.first_key_value()?;
        let age = now.saturating_duration_since(oldest.entry.recorded);
        if !oldest.is_appended {
            None
        } else if !self.keeps_none() && age >= self.limits.max_age {
            Some((*number, GapReason::Expired))
        } else if self.is_too_large() && self.entries.len() > 1 {
            Some((*number, GapReason::Limit))
        } else {
            None
        }
    }

    fn is_too_large(&self) -> bool {
        self.bytes + self.mailboxes.len() * MAILBOX_BYTES > self.limits.max_bytes
    }

    /// What a crowd took is given back.
    pub(super) fn shrink(&mut self) {
        if let Some(capacity) = shrunk(self.mailboxes.capacity(), self.mailboxes.len()) {
            self.mailboxes.shrink_to(capacity);
        }
    }

    /// Forgets what nobody needs any more in these `mailboxes`: without a history the events that every stream has taken, and that the user's
    /// events were removed, much longer ago than the log reaches. What was written since `written` may not have arrived, so what is known of
    /// later events stays.
    pub fn prune(&mut self, mailboxes: &[Arc<Mailbox<F, C>>], now: Instant, written: Option<Instant>) {
        let LogLimits { max_age, .. } = self.limits;
        let time =
            now.checked_sub(max_age + max_age / FLOOR_LEEWAY).and_then(|time| Some(time.min(written?)));
        let is_too_large = self.is_too_large();
        let mut taken = Vec::new();
        for mailbox in mailboxes {
            let mut contents = mailbox.lock();
            if self.keeps_none() {
                taken.extend(contents.remove_taken());
            }
            // Users may be too many to remember of whom something was removed.
            let time = if is_too_large && !contents.has_streams() { Some(now) } else { time };
            if let Some(floor) = contents.prune(time) {
                self.raise_floor(floor);
            }
            // Its user may have another one by now.
            let is_current =
                self.mailbox(mailbox.user()).is_some_and(|current| Arc::ptr_eq(current, mailbox));
            if is_current && contents.is_unused() {
                self.mailboxes.remove(mailbox.user());
            }
        }
        for entry in taken {
            self.release(entry.number);
        }
        self.shrink();
    }
}
