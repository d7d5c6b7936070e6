//! An event in the log.

use std::time::Instant;

use super::Floor;
use crate::{
    gap::GapReason,
    notification::{Notification, Recipients},
    sync::{AtomicUsize, Ordering},
};

/// An event in the log. The mailboxes of all its recipients share it.
#[derive(Debug)]
pub struct Entry<F> {
    /// The event without its recipients.
    pub notification: Notification,
    /// The encoded frames of the event. Each is encoded when the first stream needs it.
    pub encoded: F,
    /// When NATS stored the event.
    pub published: Instant,
    /// When the event was recorded in the log. It never decreases from one entry to the next.
    pub(super) recorded: Instant,
    /// The number of entries that were appended to the log before this one.
    pub(super) number: u64,
    /// The number of users that the event names. None for an event for everyone.
    pub recipients: Option<usize>,
    /// The bytes that the event counts for in each mailbox.
    pub(super) bytes: usize,
    /// The number of open streams that have not taken the event yet, plus one while it is being appended.
    unread: AtomicUsize,
}

/// The approximate memory of an entry without its texts, in bytes: its fields, its place in the log and the allocator's overhead.
const ENTRY_BYTES: usize = 300;
/// The memory for each recipient, in bytes: a place in the mailbox, and one in the entry's list of mailboxes.
pub(super) const RECIPIENT_BYTES: usize = 48;
/// The memory of the table that maps language preferences to translations, in bytes.
const TRANSLATED_BYTES: usize = 2048;

impl<F> Entry<F> {
    /// Creates an entry. The recipients of the event are returned, because the entry does not keep them.
    pub(super) fn new(event: NewEvent<F>, number: u64, recorded: Instant) -> (Self, Recipients) {
        let NewEvent { mut notification, encoded, published } = event;
        let bytes = cost(&notification);
        let to = std::mem::replace(&mut notification.recipients, Recipients::Users(Vec::new()));
        let recipients = if let Recipients::Users(users) = &to { Some(users.len()) } else { None };
        let unread = AtomicUsize::new(1);
        (Self { notification, encoded, published, recorded, number, recipients, bytes, unread }, to)
    }

    /// Returns whether the event is for everyone.
    pub(super) fn is_for_everyone(&self) -> bool {
        self.recipients.is_none()
    }

    /// Returns the bytes that the event counts for in the log while `mailboxes` mailboxes hold it.
    pub(super) fn bytes_in_log(&self, mailboxes: usize) -> usize {
        self.bytes + mailboxes.saturating_sub(1) * RECIPIENT_BYTES
    }

    /// Returns the floor of a log or a mailbox from which this event was removed for `reason`.
    pub(super) fn floor(&self, reason: GapReason) -> Floor {
        Floor { after: self.notification.id, reason, recorded: Some(self.recorded) }
    }

    /// Counts one more stream that has to take the event.
    pub(super) fn add_reader(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one stream less: it has taken the event or has ended. Returns whether it was the last one.
    pub(super) fn remove_reader(&self) -> bool {
        self.unread.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// An event to append to the log.
pub struct NewEvent<F> {
    /// The event.
    pub notification: Notification,
    /// The encoded frames of the event, all of them still empty.
    pub encoded: F,
    /// When NATS stored the event.
    pub published: Instant,
}

/// Returns the bytes that an event for one user takes while the log holds it. Its texts count twice: as received and as encoded frames.
fn cost(notification: &Notification) -> usize {
    let translated = if notification.content.texts() > 1 { TRANSLATED_BYTES } else { 0 };
    let texts = notification.content.bytes() + notification.event_type.as_str().len();
    ENTRY_BYTES + RECIPIENT_BYTES + translated + 2 * texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::{Content, Translation},
        language::LanguageTag,
        notification::{EventId, EventType, Incarnation},
    };

    #[test]
    fn size_counts_texts_twice_and_overhead() {
        let check = |content: Content, mailboxes: usize, in_mailbox: usize, in_log: usize| {
            let notification = Notification {
                id: EventId { incarnation: Incarnation::of(1), sequence: 1 },
                recipients: Recipients::Everyone,
                event_type: EventType::try_new("type").expect("an event type"),
                content,
                session_id: None,
            };
            let now = Instant::now();
            let (entry, _) = Entry::new(NewEvent { notification, encoded: (), published: now }, 0, now);
            assert_eq!((entry.bytes, entry.bytes_in_log(mailboxes)), (in_mailbox, in_log));
        };
        check("text".into(), 1, 364, 364);
        check("text".into(), 3, 364, 460);
        let german = LanguageTag::try_new("de").expect("a language tag");
        let translation = Translation { language: german, text: "translation".into() };
        check(Content::new(Some("text".into()), None, vec![translation]), 1, 2434, 2434);
    }
}
