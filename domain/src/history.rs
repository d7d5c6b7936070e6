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
    let texts = notification.content.len() + notification.event_type.as_str().len();
    ENTRY_BYTES + texts + recipients.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notification::{EventType, Incarnation};

    const MINUTE: Duration = Duration::from_mins(1);
    const LIMITS: HistoryLimits = HistoryLimits { max_age: MINUTE, max_bytes: usize::MAX };

    fn id(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation(7), sequence }
    }

    fn user(name: &str) -> UserId {
        UserId::try_new(name).expect("a user id")
    }

    fn notification(sequence: u64, users: &[&str]) -> Arc<Notification> {
        Arc::new(Notification {
            id: id(sequence),
            recipients: users.iter().map(|name| user(name)).collect(),
            event_type: EventType::try_new("t").expect("an event type"),
            content: sequence.to_string(),
        })
    }

    fn missed(history: &History, name: &str, after: u64) -> Result<Vec<u64>, GapReason> {
        match history.missed(&user(name), id(after), usize::MAX) {
            Missed::Notifications(missed) => Ok(missed.iter().map(|missed| missed.id.sequence).collect()),
            Missed::Nothing(_) => Ok(Vec::new()),
            Missed::Gap(_, reason) => Err(reason),
        }
    }

    #[test]
    fn who_returns_gets_what_was_missed_and_nobody_elses() {
        let now = Instant::now();
        let mut history = History::new(LIMITS, id(10));
        for (sequence, users) in [(12, &["a"][..]), (13, &["b"]), (20, &["a", "b", "a"]), (21, &["c"])] {
            history.record(notification(sequence, users), now, now);
        }
        let check = |name: &str, after: u64, expected: Result<&[u64], GapReason>| {
            assert_eq!(missed(&history, name, after), expected.map(<[u64]>::to_vec), "{name} after {after}");
        };
        check("a", 10, Ok(&[12, 20]));
        check("a", 11, Ok(&[12, 20]));
        check("a", 12, Ok(&[20]));
        check("a", 20, Ok(&[]));
        check("b", 12, Ok(&[13, 20]));
        check("c", 21, Ok(&[]));
        check("nobody", 10, Ok(&[]));
        check("a", 9, Err(GapReason::Expired));
        check("a", 22, Err(GapReason::Unknown));
        let foreign = EventId { incarnation: Incarnation(8), sequence: 12 };
        assert_eq!(
            history.missed(&user("a"), foreign, 9),
            Missed::Gap(id(21), GapReason::Unknown),
            "it goes on with what comes next"
        );
    }

    #[test]
    fn it_is_handed_out_in_portions() {
        let now = Instant::now();
        let mut history = History::new(LIMITS, id(0));
        for sequence in 1..=5 {
            history.record(notification(sequence, &["a"]), now, now);
        }
        let mut after = id(0);
        let mut portions = Vec::new();
        while let Missed::Notifications(portion) = history.missed(&user("a"), after, 2) {
            after = portion.last().expect("not empty").id;
            portions.push(portion.iter().map(|missed| missed.id.sequence).collect::<Vec<_>>());
        }
        assert_eq!(portions, [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(history.missed(&user("a"), after, 2), Missed::Nothing(id(5)));
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_the_gap_is_known() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::new(LIMITS, id(0));
        history.record(notification(1, &["a"]), at(0), at(0));
        history.record(notification(2, &["a", "b"]), at(30), at(30));
        history.forget(at(59));
        assert_eq!(missed(&history, "a", 0), Ok(vec![1, 2]));
        history.forget(at(60));
        assert_eq!(missed(&history, "a", 0), Err(GapReason::Expired));
        assert_eq!(missed(&history, "a", 1), Ok(vec![2]));
        // Of b nothing was forgotten, of c nobody knows.
        assert_eq!(missed(&history, "b", 0), Ok(vec![2]));
        assert_eq!(missed(&history, "c", 0), Err(GapReason::Expired));
        assert_eq!(missed(&history, "c", 1), Ok(vec![]));
        assert_eq!(history.missed(&user("a"), id(0), 9), Missed::Gap(id(1), GapReason::Expired));
    }

    #[test]
    fn without_age_nothing_is_kept_but_the_position() {
        let now = Instant::now();
        let mut history = History::new(HistoryLimits { max_age: Duration::ZERO, ..LIMITS }, id(0));
        history.record(notification(3, &["a"]), now, now);
        assert_eq!(missed(&history, "a", 3), Ok(vec![]));
        assert_eq!(missed(&history, "a", 2), Err(GapReason::Expired));
        assert_eq!((history.bytes, history.users.len()), (0, 0));
    }

    #[test]
    fn a_time_is_a_position() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::new(LIMITS, id(5));
        for (sequence, second) in [(6, 10), (7, 20), (9, 20), (12, 70)] {
            history.record(notification(sequence, &["a"]), at(second), at(second));
        }
        // The first was forgotten when the last came.
        let check = |second: u64, expected: (u64, Option<GapReason>)| {
            assert_eq!(history.before(at(second)), (id(expected.0), expected.1), "{second} s");
        };
        check(5, (6, Some(GapReason::Expired)));
        check(10, (6, Some(GapReason::Expired)));
        check(11, (6, None));
        check(20, (6, None));
        check(21, (9, None));
        check(100, (12, None));
        assert_eq!(History::new(LIMITS, id(5)).before(start), (id(5), None));
    }

    #[test]
    fn what_a_burst_took_is_given_back() {
        let start = Instant::now();
        let mut history = History::new(LIMITS, id(0));
        for sequence in 1..=10_000 {
            history.record(notification(sequence, &[&sequence.to_string()]), start, start);
        }
        history.forget(start + MINUTE);
        assert_eq!((history.bytes, history.entries.len(), history.users.len()), (0, 0, 0));
        assert!(history.entries.capacity() <= 64 && history.users.capacity() <= 64);
    }

    proptest! {
        /// Against the plainest model there is: all notifications, and the limits applied to them one by one.
        #[test]
        fn it_answers_as_if_it_had_kept_everything_or_says_that_it_has_not(
            steps in prop::collection::vec((1..4_u64, 0..25_u64, prop::collection::vec(0..4_u8, 0..3)), 1..40),
            max_entries in 1..12_usize,
            after in 0..60_u64,
            who in 0..4_u8,
        ) {
            let start = Instant::now();
            let one = cost(&notification(1, &["0"]));
            let max_bytes = max_entries * one;
            let mut history = History::new(HistoryLimits { max_age: MINUTE, max_bytes }, id(0));
            let (mut sequence, mut now) = (0, start);
            let mut all: Vec<Arc<Notification>> = Vec::new();
            for (further, later, users) in steps {
                sequence += further;
                now += Duration::from_secs(later);
                let names: Vec<_> = users.iter().map(ToString::to_string).collect();
                let recorded = notification(sequence, &names.iter().map(String::as_str).collect::<Vec<_>>());
                history.record(recorded.clone(), now, now);
                prop_assert!(history.bytes <= max_bytes);
                let held: usize = history.entries.iter().map(|entry| cost(&entry.notification)).sum();
                prop_assert_eq!(history.bytes, held);
                all.push(recorded);
            }
            let name = who.to_string();
            let expected: Vec<u64> = all
                .iter()
                .filter(|recorded| recorded.id.sequence > after && recorded.recipients.contains(&user(&name)))
                .map(|recorded| recorded.id.sequence)
                .collect();
            match missed(&history, &name, after) {
                Ok(missed) => prop_assert_eq!(missed, expected),
                Err(GapReason::Unknown) => prop_assert!(after > sequence),
                Err(GapReason::Expired | GapReason::Limit) => {
                    let forgotten = all.len() - history.entries.len();
                    prop_assert!(all[..forgotten].iter().any(|recorded| recorded.id.sequence > after));
                }
            }
        }
    }
}
