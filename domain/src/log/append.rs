//! An event is appended to the log.

use std::{sync::Arc, time::Instant, vec};

use super::{Entry, EventLog, Extent, Floor, Held, Mailbox, NewEvent, SHARE_OF_USER};
use crate::{gap::GapReason, identity::UserId};

/// An event is put into so many mailboxes at a time, and removed from a few times as many: whoever needs the log waits for less than a
/// millisecond, however many users an event names. (Tests name few.)
pub(super) const STEP: usize = if cfg!(test) { 2 } else { 500 };

/// An event that is being appended: some of its users have it already.
///
/// A stream that starts or ends meanwhile does so by what its user has.
#[derive(Debug)]
pub struct Appending<F, C> {
    entry: Arc<Entry<F>>,
    /// That of the log before this event, which may raise it for users who cannot take it.
    floor: Floor,
    users: vec::IntoIter<UserId>,
    mailboxes: Vec<Arc<Mailbox<F, C>>>,
    streams: usize,
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
    /// Begins to append the newest event, which was `recorded` at a time that is not before that of the last one; [`EventLog::append_some`] goes
    /// on, and no other event may be appended before it is done. None when it is not known yet where the log starts.
    pub fn append(&mut self, event: NewEvent<F>, recorded: Instant) -> Option<Appending<F, C>> {
        let Extent { floor, .. } = self.extent?;
        let recorded = self.newest().next().map_or(recorded, |(_, last)| last.max(recorded));
        let (entry, users) = Entry::new(event, self.appended, recorded);
        self.appended += 1;
        let entry = Arc::new(entry);
        self.bytes += entry.bytes_in_log();
        self.entries.insert(entry.number, Held::new(Arc::clone(&entry)));
        let mailboxes = Vec::with_capacity(users.len());
        Some(Appending { entry, floor, users: users.into_iter(), mailboxes, streams: 0 })
    }

    /// Puts an event into some of the mailboxes, at the time `now`. `wake` is called for the connections that wait for an event of theirs.
    /// None when there are more: others may have their turn at the log first.
    pub fn append_some(
        &mut self,
        appending: &mut Appending<F, C>,
        now: Instant,
        wake: &mut dyn FnMut(&C),
    ) -> Option<Appended> {
        let share = (self.limits.max_bytes / SHARE_OF_USER) as u64;
        let (mut holding, mut beyond) = (0, Vec::new());
        for user in appending.users.by_ref().take(STEP) {
            let Some(mailbox) = self.mailbox_for(user) else {
                // Nothing is held for users without a stream. Such a user may have just left, and is to be told when coming back.
                self.raise_floor(&appending.entry);
                continue;
            };
            let mut contents = mailbox.lock();
            if let Some(readers) = contents.append(&appending.entry, now, appending.floor, wake) {
                appending.streams += readers;
                holding += 1;
                beyond.extend(contents.keep_within(share));
                if self.keeps_none() {
                    beyond.extend(contents.remove_taken());
                }
                drop(contents);
                appending.mailboxes.push(mailbox);
            }
        }
        if let Some(held) = self.entries.get_mut(&appending.entry.number) {
            held.add(holding);
        }
        for entry in beyond {
            self.release(entry.number);
        }
        let appended = appending.users.as_slice().is_empty().then(|| self.complete(appending));
        self.forget(now);
        appended
    }

    fn complete(&mut self, appending: &mut Appending<F, C>) -> Appended {
        let Appending { entry, mailboxes, streams, .. } = appending;
        self.hold(entry, std::mem::take(mailboxes));
        if let Some(extent) = &mut self.extent {
            extent.latest = entry.notification.id;
        }
        let is_delivered = entry.remove_reader() && *streams > 0;
        Appended { streams: *streams, bytes: entry.bytes, is_delivered }
    }

    fn raise_floor(&mut self, entry: &Entry<F>) {
        let (after, recorded) = (entry.notification.id, Some(entry.recorded));
        if let Some(extent) = &mut self.extent {
            extent.floor.raise(Floor { after, reason: GapReason::Expired, recorded });
        }
    }

    /// The mailbox in which an event for `user` is put; none when nobody could ever take it.
    fn mailbox_for(&mut self, user: UserId) -> Option<Arc<Mailbox<F, C>>> {
        if let Some(mailbox) = self.mailbox(&user) {
            return Some(Arc::clone(mailbox));
        }
        (!self.keeps_none()).then(|| self.add_mailbox(user))
    }
}
