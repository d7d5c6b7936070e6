//! Appending events to the log.

use std::{sync::Arc, time::Instant, vec};

use super::{Entry, EventLog, Extent, Mailbox, NewEvent, RetainedEntry, USER_SHARE_DIVISOR};
use crate::{gap::GapReason, identity::UserId, notification::Recipients};

/// The number of mailboxes that one call of [`EventLog::append_batch`] appends to, less the events that it evicts from them. Other users of
/// the log wait less than a millisecond for it, however many users an event names. An eviction visits four times as many at a time. Tests
/// name few users, so their batches are small.
pub(super) const MAILBOXES_PER_BATCH: usize = if cfg!(test) { 2 } else { 500 };

/// An append in progress: some mailboxes have the event already.
///
/// A stream that starts or ends meanwhile is judged by the events in its user's mailbox.
#[derive(Debug)]
pub struct Appending<F, C> {
    entry: Arc<Entry<F>>,
    remaining: Remaining<F, C>,
    streams: usize,
}

/// The recipients that do not have the event yet.
#[derive(Debug)]
enum Remaining<F, C> {
    /// The users that the event names.
    Users(vec::IntoIter<UserId>),
    /// The mailboxes of everyone. A mailbox that is created meanwhile gets the event when it is created.
    Mailboxes(vec::IntoIter<Arc<Mailbox<F, C>>>),
}

/// A recipient that does not have the event yet.
enum Recipient<F, C> {
    User(UserId),
    Mailbox(Arc<Mailbox<F, C>>),
}

impl<F, C> Remaining<F, C> {
    fn next(&mut self) -> Option<Recipient<F, C>> {
        match self {
            Self::Users(users) => users.next().map(Recipient::User),
            Self::Mailboxes(mailboxes) => mailboxes.next().map(Recipient::Mailbox),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::Mailboxes(mailboxes) => mailboxes.len(),
        }
    }
}

/// The result of appending an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The number of open streams that have to take the event.
    pub streams: usize,
    /// The bytes that the event would count for with a single recipient.
    pub bytes: usize,
    /// Whether there are such streams and all of them have taken the event already.
    pub is_delivered: bool,
}

impl<F, C> EventLog<F, C> {
    /// Starts to append an event, recorded at `recorded` or when the last event was recorded, whichever is later.
    ///
    /// The caller completes the append with [`EventLog::append_batch`] before it starts the next one. Returns none if the log does not know
    /// yet where it starts.
    pub fn start_append(&mut self, event: NewEvent<F>, recorded: Instant) -> Option<Appending<F, C>> {
        self.extent?;
        let recorded = self.newest_first().next().map_or(recorded, |(_, last)| last.max(recorded));
        let (entry, recipients) = Entry::new(event, self.mailboxes.len(), self.appended, recorded);
        self.appended += 1;
        let entry = Arc::new(entry);
        let remaining = match recipients {
            Recipients::Users(users) => Remaining::Users(users.into_iter()),
            Recipients::Everyone => {
                Remaining::Mailboxes(self.mailboxes().cloned().collect::<Vec<_>>().into_iter())
            }
        };
        let is_for_later_mailboxes = entry.is_for_everyone() && !self.is_history_off();
        if is_for_later_mailboxes {
            self.for_everyone.push_back(entry.number);
        } else if entry.is_for_everyone() {
            // Without a history, mailboxes that are created later do not get the event.
            self.mark_missed(&entry);
        }
        let retained = RetainedEntry::new(Arc::clone(&entry), is_for_later_mailboxes);
        self.entries.insert(entry.number, retained);
        Some(Appending { entry, remaining, streams: 0 })
    }

    /// Adds the event to the next batch of mailboxes at the time `now`, and calls `wake` for each connection that waits for an event.
    /// Evicts events that exceed a limit, and calls `abandoned` for each event whose last reader loses it.
    ///
    /// Returns none while mailboxes remain. The caller may give others a turn at the log before it calls again. It evicts a bounded number of
    /// events, so that the log may exceed its limits until [`EventLog::evict`] has evicted the rest.
    pub fn append_batch(
        &mut self,
        appending: &mut Appending<F, C>,
        now: Instant,
        wake: &mut dyn FnMut(&C),
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) -> Option<Appended> {
        // `start_append` has checked that there is an extent.
        let Some(Extent { floor, .. }) = self.extent else { return Some(self.finish(appending)) };
        let user_limit = (self.limits.max_bytes / USER_SHARE_DIVISOR) as u64;
        let is_history_off = self.is_history_off();
        let (mut mailboxes, mut evicted, mut visited) = (Vec::new(), Vec::new(), 0);
        while visited + evicted.len() < MAILBOXES_PER_BATCH
            && let Some(recipient) = appending.remaining.next()
        {
            visited += 1;
            let Some(mailbox) = self.mailbox_of(recipient, &appending.entry) else { continue };
            let mut contents = mailbox.lock();
            let Some(readers) = contents.append(&appending.entry, now, floor, wake) else { continue };
            appending.streams += readers;
            evicted.extend(contents.evict_beyond(user_limit, abandoned));
            if is_history_off {
                evicted.extend(contents.remove_taken(abandoned));
            }
            drop(contents);
            mailboxes.push(mailbox);
        }
        if let Some(retained) = self.entries.get_mut(&appending.entry.number) {
            retained.add_mailboxes(mailboxes);
        }
        for entry in evicted {
            self.release(entry.number);
        }
        let appended = (appending.remaining.len() == 0).then(|| self.finish(appending));
        self.evict(now, abandoned);
        appended
    }

    /// Returns the mailbox of a recipient of `entry`, and creates it if necessary. Returns none if there is no mailbox and no history: nobody
    /// could ever take the event.
    fn mailbox_of(&mut self, recipient: Recipient<F, C>, entry: &Entry<F>) -> Option<Arc<Mailbox<F, C>>> {
        let user = match recipient {
            Recipient::Mailbox(mailbox) => return Some(mailbox),
            Recipient::User(user) => user,
        };
        if let Some(mailbox) = self.mailbox(&user) {
            return Some(Arc::clone(mailbox));
        }
        if self.is_history_off() {
            self.mark_missed(entry);
            return None;
        }
        Some(self.add_mailbox(user))
    }

    fn finish(&mut self, appending: &Appending<F, C>) -> Appended {
        let Appending { entry, streams, .. } = appending;
        self.mark_appended(entry.number);
        if let Some(extent) = &mut self.extent {
            extent.latest = entry.notification.id;
            extent.floor = extent.floor();
            extent.appending = None;
        }
        let is_delivered = entry.remove_reader() && *streams > 0;
        Appended { streams: *streams, bytes: entry.bytes_for_one, is_delivered }
    }

    /// Records that users without a mailbox miss the event that is being appended. One of them may have just left, and gets a gap on
    /// return. Users with a mailbox still get the event.
    fn mark_missed(&mut self, entry: &Entry<F>) {
        if let Some(extent) = &mut self.extent {
            extent.appending = Some(entry.floor(GapReason::Expired));
        }
    }
}
