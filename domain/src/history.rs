//! The recent notifications: what a client that returns has missed, or that there is a gap.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    identity::UserId,
    notification::{EventId, Notification},
};

/// How far back the history reaches.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// An older notification is forgotten; zero keeps none.
    pub max_age: Duration,
    /// The oldest notifications are forgotten when all together take more memory than this, in bytes.
    pub max_bytes: usize,
}

/// Why events between the last one a client has had and the next one it gets are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// They are older than the history reaches, or the bus itself no longer had them.
    Expired,
    /// There were so many since that the history could not hold them.
    Limit,
    /// What the client names is no event of the present stream.
    Unknown,
}

/// What a client has to be told when events are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The id that the client has named, or was told last; none when there was none.
    pub last_event_id: Option<String>,
    /// Why what came after it is missing.
    pub reason: GapReason,
}

impl Gap {
    /// The client has named something that is no event of the present stream.
    #[must_use]
    pub fn unknown(last_event_id: String) -> Self {
        Self { last_event_id: Some(last_event_id), reason: GapReason::Unknown }
    }
}

/// The notifications of the last minutes, each held once, in the order of the bus.
///
/// It knows after which event it is complete. So it never answers that a user missed nothing unless that is certain.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    entries: VecDeque<Entry>,
    /// The number of the first entry: they are numbered throughout, so that a number outlives the entries before it.
    first: u64,
    users: HashMap<UserId, Missable>,
    bytes: usize,
    /// Nothing after this is missing, for anybody.
    floor: Floor,
    /// The last notification that was recorded, or where recording began.
    latest: EventId,
}

#[derive(Debug)]
struct Entry {
    notification: Arc<Notification>,
    at: Instant,
    bytes: usize,
}

/// What one user could miss.
#[derive(Debug)]
struct Missable {
    /// The numbers of the entries that are for this user.
    numbers: VecDeque<u64>,
    /// Nothing after this is missing for this user.
    floor: Floor,
}

/// An event before which events may be missing, and why.
#[derive(Clone, Copy, Debug)]
struct Floor {
    after: EventId,
    reason: GapReason,
    /// When that event was recorded; none when the floor is where recording began.
    at: Option<Instant>,
}

/// The next of what a user has missed.
#[derive(Debug, PartialEq, Eq)]
pub enum Missed {
    /// These, the oldest first, and perhaps more after them.
    Notifications(Vec<Arc<Notification>>),
    /// Nothing up to this event, the last one of all.
    Nothing(EventId),
    /// Something, but it is no longer known what. What is still known comes after this event.
    Gap(EventId, GapReason),
}

/// What an entry costs besides its texts, about: its own fields, its place, and what the allocator adds …
const ENTRY_BYTES: usize = 200;
/// … and for each recipient, who may be the only one of this name.
const RECIPIENT_BYTES: usize = 160;

impl History {
    /// An empty history that is complete after `begin`.
    #[must_use]
    pub fn new(limits: HistoryLimits, begin: EventId) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 0,
            users: HashMap::new(),
            bytes: 0,
            floor: Floor { after: begin, reason: GapReason::Expired, at: None },
            latest: begin,
        }
    }

    /// The last notification that was recorded, or where recording began.
    #[must_use]
    pub fn latest(&self) -> EventId {
        self.latest
    }

    /// Adds the newest notification. `at` is when that was, and never before the last one's; `now` is the present time.
    pub fn record(&mut self, notification: Arc<Notification>, at: Instant, now: Instant) {
        let number = self.first + self.entries.len() as u64;
        for user in &notification.recipients {
            let missable = match self.users.get_mut(user) {
                Some(missable) => missable,
                None => self
                    .users
                    .entry(user.clone())
                    .or_insert_with(|| Missable { numbers: VecDeque::new(), floor: self.floor }),
            };
            // Who is named twice gets it once.
            if missable.numbers.back() != Some(&number) {
                missable.numbers.push_back(number);
            }
        }
        self.latest = notification.id;
        let at = self.entries.back().map_or(at, |last| last.at.max(at));
        let bytes = cost(&notification);
        self.bytes += bytes;
        self.entries.push_back(Entry { notification, at, bytes });
        self.forget(now);
    }

    /// Forgets what is older than the history is to reach at `now`.
    pub fn forget(&mut self, now: Instant) {
        let HistoryLimits { max_age, max_bytes } = self.limits;
        while let Some(oldest) = self.entries.front() {
            let reason = if now.saturating_duration_since(oldest.at) >= max_age {
                GapReason::Expired
            } else if self.bytes > max_bytes {
                GapReason::Limit
            } else {
                break;
            };
            self.forget_oldest(reason);
        }
        // What a burst took is given back.
        if self.entries.capacity() > 4 * (self.entries.len() + 16) {
            self.entries.shrink_to(2 * self.entries.len());
        }
        if self.users.capacity() > 4 * (self.users.len() + 16) {
            self.users.shrink_to(2 * self.users.len());
        }
    }

    fn forget_oldest(&mut self, reason: GapReason) {
        let Some(Entry { notification, at, bytes }) = self.entries.pop_front() else { return };
        let floor = Floor { after: notification.id, reason, at: Some(at) };
        for user in &notification.recipients {
            if let Some(missable) = self.users.get_mut(user) {
                if missable.numbers.front() == Some(&self.first) {
                    missable.numbers.pop_front();
                    missable.floor = floor;
                }
                if missable.numbers.is_empty() {
                    self.users.remove(user);
                }
            }
        }
        self.first += 1;
        self.bytes -= bytes;
        self.floor = floor;
    }

    /// What `user` has missed since the event `after`: `most` notifications at a time.
    #[must_use]
    pub fn missed(&self, user: &UserId, after: EventId, most: usize) -> Missed {
        if after.incarnation != self.latest.incarnation || after.follows(self.latest) {
            return Missed::Gap(self.latest, GapReason::Unknown);
        }
        let Some(Missable { numbers, floor }) = self.users.get(user) else {
            // Everything that there is for this user may have been forgotten.
            return match self.floor {
                floor if floor.after.follows(after) => Missed::Gap(floor.after, floor.reason),
                _ => Missed::Nothing(self.latest),
            };
        };
        if floor.after.follows(after) {
            return Missed::Gap(floor.after, floor.reason);
        }
        let from = numbers.partition_point(|number| {
            self.entry(*number).is_some_and(|entry| !entry.notification.id.follows(after))
        });
        let missed: Vec<_> = numbers
            .range(from..)
            .take(most)
            .filter_map(|number| self.entry(*number))
            .map(|entry| Arc::clone(&entry.notification))
            .collect();
        if missed.is_empty() { Missed::Nothing(self.latest) } else { Missed::Notifications(missed) }
    }

    /// All that it holds, the newest first, each with when it was recorded.
    pub fn newest(&self) -> impl Iterator<Item = (&Arc<Notification>, Instant)> {
        self.entries.iter().rev().map(|entry| (&entry.notification, entry.at))
    }

    /// The last event before `time`, or the earliest after which the history is complete. With it comes a reason when events
    /// since `time` have already been forgotten.
    #[must_use]
    pub fn before(&self, time: Instant) -> (EventId, Option<GapReason>) {
        match self.entries.partition_point(|entry| entry.at < time) {
            0 => (self.floor.after, self.floor.at.filter(|at| *at >= time).map(|_| self.floor.reason)),
            later => (self.entries[later - 1].notification.id, None),
        }
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

fn cost(notification: &Notification) -> usize {
    let recipients = notification.recipients.iter().map(|user| user.as_str().len() + RECIPIENT_BYTES);
    let texts = notification.content.bytes() + notification.event_type.as_str().len();
    ENTRY_BYTES + texts + recipients.sum::<usize>()
}

#[cfg(test)]
mod tests;
