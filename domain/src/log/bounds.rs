//! What the log holds, and what it removes.

use std::time::Instant;

use super::{ByUser, EventLog, Floor, Held, LogLimits, MAILBOX_BYTES};
use crate::gap::GapReason;

/// For so much longer, as a part of the log's age, it is known of which users something was removed: the id that a client comes back with may be so
/// much older than its stream's end.
const FLOOR_LEEWAY: u32 = 4;

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
        let LogLimits { max_age, .. } = self.limits;
        while let Some((_, oldest)) = self.entries.first_key_value() {
            // Without a history an event stays as long as a stream has to take it.
            let is_old =
                !self.keeps_none() && now.saturating_duration_since(oldest.entry.recorded) >= max_age;
            if is_old {
                self.remove_oldest(GapReason::Expired);
            } else if self.is_too_large() && self.entries.len() > 1 {
                self.remove_oldest(GapReason::Limit);
            } else {
                break;
            }
        }
    }

    fn is_too_large(&self) -> bool {
        self.bytes + self.mailboxes.len() * MAILBOX_BYTES > self.limits.max_bytes
    }

    fn remove_oldest(&mut self, reason: GapReason) {
        let Some((number, Held { entry, .. })) = self.entries.pop_first() else { return };
        self.bytes -= entry.bytes_in_log();
        for user in &entry.notification.recipients {
            if let Some(mailbox) = self.mailbox(user) {
                mailbox.lock().remove(number, reason);
            }
        }
    }

    /// What a crowd took is given back.
    pub(super) fn shrink(&mut self) {
        if self.mailboxes.capacity() > 4 * (self.mailboxes.len() + 16) {
            self.mailboxes.shrink_to(2 * self.mailboxes.len());
        }
    }

    /// Forgets what nobody needs any more: without a history the events that every stream has taken, and which users' events were removed
    /// much longer ago than the log reaches. What was written since `written` may not have arrived, so what is known of later events stays.
    pub fn tidy(&mut self, now: Instant, written: Option<Instant>) {
        self.forget(now);
        let LogLimits { max_age, .. } = self.limits;
        let time = if self.is_too_large() {
            // Users are too many to remember of whom something was removed.
            Some(now)
        } else {
            now.checked_sub(max_age + max_age / FLOOR_LEEWAY).and_then(|time| Some(time.min(written?)))
        };
        let keeps_none = self.keeps_none();
        let (mut taken, mut forgotten) = (Vec::new(), None::<Floor>);
        self.mailboxes.retain(|ByUser(mailbox)| {
            let mut contents = mailbox.lock();
            if keeps_none {
                taken.extend(contents.remove_taken());
            }
            if let Some(floor) = contents.tidy(time) {
                forgotten.get_or_insert(floor).raise(floor);
            }
            !contents.is_unused()
        });
        for entry in taken {
            self.release(entry.number);
        }
        if let (Some(extent), Some(floor)) = (&mut self.extent, forgotten) {
            extent.floor.raise(floor);
        }
        self.shrink();
    }
}
