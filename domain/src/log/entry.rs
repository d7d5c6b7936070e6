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
    /// The bytes that the event counts for in the log, and in each recipient's share of it: all recipients are counted, so that a crowd's
    /// events cannot fill the log while each of its users has a small share.
    pub(super) bytes: usize,
    /// The bytes that the event would count for with a single recipient.
    pub(super) bytes_for_one: usize,
    /// The number of open streams that have not taken the event yet, plus one while it is being appended.
    unread: AtomicUsize,
}

/// The approximate memory of an entry without its texts, in bytes: its fields, its place in the log and the allocator's overhead.
const ENTRY_BYTES: usize = 300;
/// The memory for each recipient, in bytes: a place in the mailbox, and one in the entry's list of mailboxes.
pub(super) const RECIPIENT_BYTES: usize = 48;
/// The name of the field that an encoded text has on each further line, in bytes: `data: ` (WHATWG HTML, 9.2.5).
const LINE_BYTES: usize = 6;
/// The memory of the table that maps language preferences to translations, in bytes.
const TRANSLATED_BYTES: usize = 2048;

impl<F> Entry<F> {
    /// Creates an entry. An event for everyone is for `everyone` users. The recipients of the event are returned, because the entry does not
    /// keep them.
    pub(super) fn new(
        event: NewEvent<F>,
        everyone: usize,
        number: u64,
        recorded: Instant,
    ) -> (Self, Recipients) {
        let NewEvent { mut notification, encoded, published } = event;
        let to = std::mem::replace(&mut notification.recipients, Recipients::Users(Vec::new()));
        let recipients = if let Recipients::Users(users) = &to { Some(users.len()) } else { None };
        let others = recipients.unwrap_or(everyone).saturating_sub(1);
        let bytes_for_one = cost(&notification);
        let bytes = bytes_for_one + others * RECIPIENT_BYTES;
        let unread = AtomicUsize::new(1);
        (
            Self {
                notification,
                encoded,
                published,
                recorded,
                number,
                recipients,
                bytes,
                bytes_for_one,
                unread,
            },
            to,
        )
    }

    /// Returns whether the event is for everyone.
    pub(super) fn is_for_everyone(&self) -> bool {
        self.recipients.is_none()
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
    let lines = notification.content.line_breaks();
    ENTRY_BYTES + RECIPIENT_BYTES + translated + 2 * texts + LINE_BYTES * lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::{Content, Translation},
        identity::UserId,
        language::LanguageTag,
        notification::{EventId, EventType, Incarnation},
    };

    #[test]
    fn size_counts_texts_twice_and_overhead() {
        let check = |content: Content, recipients: Recipients, bytes: usize, for_one: usize| {
            let notification = Notification {
                id: EventId { incarnation: Incarnation::of(1), sequence: 1 },
                recipients,
                event_type: EventType::try_new("type").expect("an event type"),
                content,
                session_id: None,
            };
            let now = Instant::now();
            let (entry, _) = Entry::new(NewEvent { notification, encoded: (), published: now }, 5, 0, now);
            assert_eq!((entry.bytes, entry.bytes_for_one), (bytes, for_one));
        };
        let users = |names: &[&str]| {
            Recipients::Users(names.iter().map(|name| UserId::try_new(name).expect("a user id")).collect())
        };
        check("text".into(), users(&[]), 364, 364);
        check("text".into(), users(&["a"]), 364, 364);
        check("text".into(), users(&["a", "b", "c"]), 460, 364);
        check("text".into(), Recipients::Everyone, 556, 364);
        check("te\nxt\r".into(), users(&["a"]), 380, 380);
        let german = LanguageTag::try_new("de").expect("a language tag");
        let translation = Translation { language: german, text: "transl\nation".into() };
        check(Content::new(Some("text".into()), None, vec![translation]), users(&["a"]), 2442, 2442);
    }
}
