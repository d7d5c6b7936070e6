//! An event is appended to the log.

use std::{sync::Arc, time::Instant, vec};

use super::{Entry, EventLog, Extent, Held, Mailbox, NewEvent, SHARE_OF_USER};
use crate::{gap::GapReason, identity::UserId, notification::Recipients};

/// An event is put into so many mailboxes at a time, and removed from a few times as many: whoever needs the log waits for less than a
/// millisecond, however many users an event names. (Tests name few.)
pub(super) const STEP: usize = if cfg!(test) { 2 } else { 500 };

/// An event that is being appended: some mailboxes that it is for have it already.
///
/// A stream that starts or ends meanwhile does so by what its user has.
#[derive(Debug)]
pub struct Appending<F, C> {
    entry: Arc<Entry<F>>,
    remaining: Remaining<F, C>,
    streams: usize,
}

/// Where an event is still to be put.
#[derive(Debug)]
enum Remaining<F, C> {
    /// Into the mailboxes of these users.
    Users(vec::IntoIter<UserId>),
    /// Into these mailboxes. One that is new gets the event when it is made.
    Mailboxes(vec::IntoIter<Arc<Mailbox<F, C>>>),
}

impl<F, C> Remaining<F, C> {
    fn len(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::Mailboxes(mailboxes) => mailboxes.len(),
        }
    }
}

/// What came of an event that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Open streams that are to take it.
    pub streams: usize,
    /// Bytes that it counts for among the events of each user it names.
    pub bytes: usize,
    /// Whether the last of these streams has already taken it.
    pub is_delivered: bool,
}

impl<F, C> EventLog<F, C> {
    /// Begins to append the newest event, which was `recorded` at a time that is not before that of the last one; [`EventLog::append_batch`] goes
    /// on, and no other event may be appended before it is done. None when it is not known yet where the log starts.
    pub fn start_append(&mut self, event: NewEvent<F>, recorded: Instant) -> Option<Appending<F, C>> {
        self.extent?;
        let recorded = self.newest_first().next().map_or(recorded, |(_, last)| last.max(recorded));
        let (entry, recipients) = Entry::new(event, self.appended, recorded);
        self.appended += 1;
        let entry = Arc::new(entry);
        let remaining = match recipients {
            Recipients::Users(users) => Remaining::Users(users.into_iter()),
            Recipients::Everyone => {
                Remaining::Mailboxes(self.mailboxes().cloned().collect::<Vec<_>>().into_iter())
            }
        };
        let outlives_mailboxes = entry.is_for_everyone() && !self.keeps_none();
        if outlives_mailboxes {
            self.for_everyone.push_back(entry.number);
        } else if entry.is_for_everyone() {
            // Without a history it is put into no mailbox that is made later.
            self.is_missed(&entry);
        }
        let bytes = entry.bytes_in_log(remaining.len());
        self.bytes += bytes;
        self.entries.insert(entry.number, Held::new(Arc::clone(&entry), bytes, outlives_mailboxes));
        Some(Appending { entry, remaining, streams: 0 })
    }

    /// Puts an event into some of the mailboxes, at the time `now`. `wake` is called for the connections that wait for an event of theirs.
    /// None when there are more: others may have their turn at the log first.
    pub fn append_batch(
        &mut self,
        appending: &mut Appending<F, C>,
        now: Instant,
        wake: &mut dyn FnMut(&C),
    ) -> Option<Appended> {
        // It was there when this began.
        let Some(Extent { floor, .. }) = self.extent else { return Some(self.complete(appending)) };
        let share = (self.limits.max_bytes / SHARE_OF_USER) as u64;
        let keeps_none = self.keeps_none();
        let mut beyond = Vec::new();
        let mut mailboxes = self.next_mailboxes(appending);
        let Appending { entry, remaining, streams } = appending;
        mailboxes.retain(|mailbox| {
            let mut contents = mailbox.lock();
            let Some(readers) = contents.append(entry, now, floor, wake) else { return false };
            *streams += readers;
            beyond.extend(contents.keep_within(share));
            if keeps_none {
                beyond.extend(contents.remove_taken());
            }
            true
        });
        if let Some(held) = self.entries.get_mut(&entry.number) {
            held.put_into(mailboxes);
        }
        for entry in beyond {
            self.release(entry.number);
        }
        let appended = (remaining.len() == 0).then(|| self.complete(appending));
        self.evict(now);
        appended
    }

    /// The mailboxes that an event is put into next.
    fn next_mailboxes(&mut self, appending: &mut Appending<F, C>) -> Vec<Arc<Mailbox<F, C>>> {
        let Appending { entry, remaining, .. } = appending;
        match remaining {
            Remaining::Mailboxes(mailboxes) => mailboxes.take(STEP).collect(),
            Remaining::Users(users) => {
                let mut mailboxes = Vec::with_capacity(STEP.min(users.len()));
                for user in users.take(STEP) {
                    match self.mailbox_for(user) {
                        Some(mailbox) => mailboxes.push(mailbox),
                        None => self.is_missed(entry),
                    }
                }
                mailboxes
            }
        }
    }

    fn complete(&mut self, appending: &Appending<F, C>) -> Appended {
        let Appending { entry, streams, .. } = appending;
        self.hold(entry.number);
        if let Some(extent) = &mut self.extent {
            extent.latest = entry.notification.id;
            extent.floor = extent.floor();
            extent.appending = None;
        }
        let is_delivered = entry.remove_reader() && *streams > 0;
        Appended { streams: *streams, bytes: entry.bytes, is_delivered }
    }

    /// The event that is being appended is missed by users without a mailbox, who may have just left and are to be told when they come back.
    /// Those who have one are still to get it.
    fn is_missed(&mut self, entry: &Entry<F>) {
        if let Some(extent) = &mut self.extent {
            extent.appending = Some(entry.floor(GapReason::Expired));
        }
    }

    /// The mailbox in which an event for `user` is put. None when nobody could ever take it: nothing is held for users without a stream.
    fn mailbox_for(&mut self, user: UserId) -> Option<Arc<Mailbox<F, C>>> {
        if let Some(mailbox) = self.mailbox(&user) {
            return Some(Arc::clone(mailbox));
        }
        (!self.keeps_none()).then(|| self.add_mailbox(user))
    }
}
