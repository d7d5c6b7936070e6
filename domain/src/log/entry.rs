//! An event in the log.

use std::time::Instant;

use super::Floor;
use crate::{
    gap::GapReason,
    notification::{Notification, Recipients},
    sync::{AtomicUsize, Ordering},
};

/// An event in the log, shared by the mailboxes of all users it names.
#[derive(Debug)]
pub struct Entry<F> {
    /// The event. Its recipients are left out.
    pub notification: Notification,
    /// Its encoded frames, which are made when the first stream asks for them.
    pub encoded: F,
    /// When NATS took it.
    pub published: Instant,
    /// When it was recorded. It never decreases from one entry to the next.
    pub(super) recorded: Instant,
    /// Its place among all entries that were ever appended.
    pub(super) number: u64,
    /// How many users it names; none when it is for everyone.
    pub recipients: Option<usize>,
    /// Bytes that it counts for among the events of each of them.
    pub(super) bytes: usize,
    /// Open streams that are still to take it, and one more while it is being appended.
    unread: AtomicUsize,
}

/// What an entry takes beside its texts, about: its fields, its place in the log, and what the allocator adds …
const ENTRY_BYTES: usize = 300;
/// … and for each recipient: a place in the mailbox, and in the list of those who hold it.
pub(super) const RECIPIENT_BYTES: usize = 48;
/// What it takes to remember who gets which translation, where there are some.
const TRANSLATED_BYTES: usize = 2048;

impl<F> Entry<F> {
    /// An entry, and the recipients of the event, which it does not keep.
    pub(super) fn new(event: NewEvent<F>, number: u64, recorded: Instant) -> (Self, Recipients) {
        let NewEvent { mut notification, encoded, published } = event;
        let bytes = cost(&notification);
        let to = std::mem::replace(&mut notification.recipients, Recipients::Users(Vec::new()));
        let recipients = if let Recipients::Users(users) = &to { Some(users.len()) } else { None };
        let unread = AtomicUsize::new(1);
        (Self { notification, encoded, published, recorded, number, recipients, bytes, unread }, to)
    }

    /// Whether it is for everyone.
    pub(super) fn is_for_everyone(&self) -> bool {
        self.recipients.is_none()
    }

    /// Bytes that it counts for in the log while so many mailboxes hold it.
    pub(super) fn bytes_in_log(&self, mailboxes: usize) -> usize {
        self.bytes + mailboxes.saturating_sub(1) * RECIPIENT_BYTES
    }

    /// It is missing, and so may be what was before it.
    pub(super) fn floor(&self, reason: GapReason) -> Floor {
        Floor { after: self.notification.id, reason, recorded: Some(self.recorded) }
    }

    /// One more stream is to take it.
    pub(super) fn add_reader(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream has taken it or has ended; true for the last of them.
    pub(super) fn remove_reader(&self) -> bool {
        self.unread.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// An event that is to be appended to the log.
pub struct NewEvent<F> {
    /// The event.
    pub notification: Notification,
    /// Its encoded frames, none of which is made yet.
    pub encoded: F,
    /// When NATS took it.
    pub published: Instant,
}

/// Bytes that an event for one user takes while it is held. Its text counts twice, as it came and as a frame.
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
    fn event_counts_for_its_texts_twice_and_for_what_holds_them() {
        let check = |content: Content, mailboxes: usize, of_each: usize, in_log: usize| {
            let notification = Notification {
                id: EventId { incarnation: Incarnation::of(1), sequence: 1 },
                recipients: Recipients::Everyone,
                event_type: EventType::try_new("type").expect("an event type"),
                content,
            };
            let now = Instant::now();
            let (entry, _) = Entry::new(NewEvent { notification, encoded: (), published: now }, 0, now);
            assert_eq!((entry.bytes, entry.bytes_in_log(mailboxes)), (of_each, in_log));
        };
        check("text".into(), 1, 364, 364);
        check("text".into(), 3, 364, 460);
        let german = LanguageTag::try_new("de").expect("a language tag");
        let translation = Translation { language: german, text: "translation".into() };
        check(Content::new(Some("text".into()), None, vec![translation]), 1, 2434, 2434);
    }
}
