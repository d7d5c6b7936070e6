//! What the log holds, and what it removes.

use std::time::Instant;

use super::{ByUser, Entry, EventLog, Extent, Floor, Held, LogLimits, MAILBOX_BYTES};
use crate::gap::GapReason;

impl<F, C> EventLog<F, C> {
    /// One mailbox less holds the event.
    pub(super) fn release(&mut self, number: u64) {
        if let Some(held) = self.entries.get_mut(&number) {
            held.mailboxes -= 1;
            if held.mailboxes == 0 {
                self.bytes -= held.entry.bytes_in_log();
                self.entries.remove(&number);
            }
        }
    }

    /// Removes what is older than the log is to reach at `now`, and what is too much.
    pub fn forget(&mut self, now: Instant) {
        let LogLimits { max_age, max_bytes } = self.limits;
        while let Some((_, oldest)) = self.entries.first_key_value() {
            // Without a history an event stays as long as a stream has to take it.
            let is_old =
                !max_age.is_zero() && now.saturating_duration_since(oldest.entry.recorded) >= max_age;
            if is_old {
                self.remove_oldest(GapReason::Expired);
            } else if self.bytes + self.mailboxes.len() * MAILBOX_BYTES > max_bytes && self.entries.len() > 1
            {
                self.remove_oldest(GapReason::Limit);
            } else {
                break;
            }
        }
    }

    fn remove_oldest(&mut self, reason: GapReason) {
        let Some((number, Held { entry, .. })) = self.entries.pop_first() else { return };
        self.bytes -= entry.bytes_in_log();
        for user in &entry.notification.recipients {
            let Some(mailbox) = self.mailbox(user) else { continue };
            let mut contents = mailbox.lock();
            contents.remove(number, reason);
            let is_unused = contents.is_unused();
            drop(contents);
            if is_unused {
                self.mailboxes.remove(user);
            }
        }
        self.raise_floor(&entry, reason);
        self.shrink();
    }

    fn raise_floor(&mut self, entry: &Entry<F>, reason: GapReason) {
        // Without a history the events of a slow stream are removed after later ones of others.
        if let Some(Extent { floor, .. }) = &mut self.extent
            && entry.notification.id.follows(floor.after)
        {
            *floor = Floor { after: entry.notification.id, reason, recorded: Some(entry.recorded) };
        }
    }

    /// What a crowd took is given back.
    pub(super) fn shrink(&mut self) {
        if self.mailboxes.capacity() > 4 * (self.mailboxes.len() + 16) {
            self.mailboxes.shrink_to(2 * self.mailboxes.len());
        }
    }

    /// Forgets what nobody needs any more: without a history the events that every stream has taken, and what is known of events that were
    /// removed longer ago than the log reaches. What was written since `written` may not have arrived, so what is known of later events stays.
    pub fn tidy(&mut self, now: Instant, written: Option<Instant>) {
        self.forget(now);
        let keeps_none = self.limits.max_age.is_zero();
        let time = now.checked_sub(self.limits.max_age).and_then(|time| Some(time.min(written?)));
        let mut taken = Vec::new();
        self.mailboxes.retain(|ByUser(mailbox)| {
            let mut contents = mailbox.lock();
            if keeps_none {
                taken.extend(contents.remove_taken());
            }
            contents.tidy(time);
            !contents.is_unused()
        });
        taken.sort_unstable_by_key(|entry| entry.number);
        for entry in taken {
            self.release(entry.number);
            self.raise_floor(&entry, GapReason::Expired);
        }
        self.shrink();
    }
}
