//! Properties of the log, checked against simple models.

use proptest::prelude::*;

use super::*;

/// A random operation.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Appends an event of this size in bytes for the users whose bit is set, or for everyone.
    Append(Option<u8>, usize),
    /// Opens a stream of this user whose client has missed this number of events.
    Open(usize, u64),
    /// Lets one of the streams take up to this number of bytes.
    Take(usize, usize),
    Close(usize),
    /// Advances the clock by this number of seconds.
    Advance(u64),
}

const USERS: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..8_u8, 0..400_usize).prop_map(|(users, bytes)| Step::Append(Some(users), bytes)),
        1 => (0..400_usize).prop_map(|bytes| Step::Append(None, bytes)),
        2 => (0..3_usize, prop_oneof![Just(0), 0..20_u64]).prop_map(|(user, missed)| Step::Open(user, missed)),
        5 => (any::<usize>(), 0..2000_usize).prop_map(|(which, limit)| Step::Take(which, limit)),
        1 => any::<usize>().prop_map(Step::Close),
        1 => (0..30_u64).prop_map(Step::Advance),
    ]
}

/// The bits of all users.
const EVERYONE: u8 = 7;

fn named(users: u8) -> Vec<&'static str> {
    USERS.into_iter().enumerate().filter(|(bit, _)| users & (1 << bit) != 0).map(|(_, name)| name).collect()
}

/// The events that a stream has taken so far.
struct StreamModel {
    reader: Reader,
    user: &'static str,
    /// Up to this sequence the stream has taken every event or a gap.
    through: u64,
}

impl StreamModel {
    /// Takes items and checks them against all events that were ever appended. Adds the events whose last reader the stream was to
    /// `completed`.
    fn take(
        &mut self,
        limit: usize,
        all: &[(u64, u8)],
        completed: &mut Vec<u64>,
    ) -> Result<(), TestCaseError> {
        let bit = 1 << USERS.iter().position(|name| *name == self.user).expect("a user");
        let (taken, _) = self.reader.take_up_to(limit);
        for words in taken {
            if let Some((_, position)) = words.split_once("at ") {
                let position = position.parse().unwrap_or(self.through);
                if words.contains("after") {
                    prop_assert!(position > self.through, "a gap without missing events: {}", words);
                } else {
                    let missed = all
                        .iter()
                        .find(|(at, users)| (self.through + 1..=position).contains(at) && users & bit != 0);
                    prop_assert_eq!(missed, None, "skipped by {}", words);
                }
                self.through = position;
            } else {
                let sequence = words.split(' ').next().and_then(|text| text.parse().ok()).expect("an event");
                let next = all.iter().find(|(at, users)| *at > self.through && users & bit != 0);
                prop_assert_eq!(next.map(|(at, _)| *at), Some(sequence), "the next event, once");
                completed.extend(words.ends_with("last").then_some(sequence));
                self.through = sequence;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Each stream gets each event of its user once and in order, or a gap. A connection that has taken everything is woken by the next
    /// event. Each event with readers is completed once: its last reader takes it, loses it or leaves. The log stays within its limits.
    #[test]
    fn each_stream_gets_each_event_once_or_a_gap(
        steps in prop::collection::vec(step(), 1..80),
        max_bytes in 1000..20_000_usize,
        keeps_history in any::<bool>(),
    ) {
        let max_age = if keeps_history { MINUTE } else { Duration::ZERO };
        let mut harness = Harness::new(LogLimits { max_age, max_bytes });
        let (mut all, mut open) = (Vec::new(), Vec::<StreamModel>::new());
        let (mut with_readers, mut completed) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Append(named_users, bytes) => {
                    let users = named_users.unwrap_or(EVERYONE);
                    let recipients = match named_users {
                        Some(users) => named(users).into_iter().map(user).collect(),
                        None => Recipients::Everyone,
                    };
                    let waiting: Vec<_> = open.iter().filter(|model| {
                        let is_waiting = model.reader.mailbox.with_stream(model.reader.id, |stream| stream.is_waiting());
                        is_waiting == Some(true) && named(users).contains(&model.user)
                    }).map(|model| model.user).collect();
                    harness.woken();
                    let appended = harness.append_for(recipients, "t", bytes);
                    with_readers.extend((appended.streams > 0).then_some(harness.sequence));
                    let mut woken = harness.woken();
                    woken.sort_unstable();
                    let mut expected = waiting;
                    expected.sort_unstable();
                    prop_assert_eq!(woken, expected);
                    all.push((harness.sequence, users));
                }
                Step::Open(user, missed) => {
                    let (user, latest) = (USERS[user], harness.log.latest().expect("started"));
                    let through = latest.sequence.saturating_sub(missed);
                    let reader = harness.open_after(user, user, id(through));
                    open.push(StreamModel { reader, user, through });
                }
                Step::Take(which, limit) if !open.is_empty() => {
                    let which = which % open.len();
                    open[which].take(limit, &all, &mut completed)?;
                }
                Step::Close(which) if !open.is_empty() => {
                    let stream = open.swap_remove(which % open.len());
                    completed.extend(harness.close(&stream.reader));
                }
                // An append evicts a bounded number of events; the rest is evicted here.
                Step::Advance(seconds) => {
                    harness.advance(Duration::from_secs(seconds));
                    let mailboxes = harness.log.mailboxes.len() * MAILBOX_BYTES;
                    prop_assert!(harness.log.bytes + mailboxes <= max_bytes || harness.log.entries.len() <= 1);
                }
                Step::Take(..) | Step::Close(_) => {}
            }
            let held: usize = harness.log.entries.values().map(|entry| entry.bytes).sum();
            prop_assert_eq!(harness.log.bytes, held);
        }
        for stream in &mut open {
            stream.take(usize::MAX, &all, &mut completed)?;
            let last = all.iter().rev().find(|(_, users)| named(*users).contains(&stream.user));
            prop_assert!(last.is_none_or(|(at, _)| *at <= stream.through), "the stream has taken everything");
        }
        completed.extend(harness.abandoned);
        completed.sort_unstable();
        prop_assert_eq!(completed, with_readers);
    }

    /// The events of other users are held for as long as all of them and the mailboxes take at most half of the log, however many events
    /// one user gets, alone or together with the others of a crowd.
    #[test]
    fn one_user_takes_at_most_half_of_the_log(
        events in prop::collection::vec((prop::bool::weighted(0.8), 0..600_usize), 1..200),
        crowd in 1..20_usize,
        max_bytes in 6000..40_000_usize,
    ) {
        let crowd: Vec<_> = (0..crowd).map(|number| format!("flooded-{number}")).collect();
        let crowd: Vec<_> = crowd.iter().map(String::as_str).collect();
        let mut harness = Harness::new(LogLimits { max_bytes, ..NO_LIMITS });
        let mut of_others = Vec::new();
        for (flood, bytes) in events {
            let users = if flood { &*crowd } else { &["other"] };
            let appended = harness.append_event(users, "t", bytes);
            if !flood {
                of_others.push((harness.sequence, appended.bytes));
            }
        }
        let mut bytes = 0;
        let expected = of_others.iter().rev().take_while(|(_, size)| {
            bytes += size;
            bytes + (1 + crowd.len()) * MAILBOX_BYTES <= max_bytes / USER_SHARE_DIVISOR
        });
        let mut expected: Vec<_> = expected.map(|(at, _)| *at).collect();
        expected.reverse();
        let Some(first) = expected.first() else { return Ok(()) };
        let before = of_others.iter().rev().find(|(at, _)| at < first).map_or(0, |(at, _)| *at);
        let taken = harness.open_after("other", "tab", id(before)).take_all();
        let taken: Vec<_> = taken.iter().filter(|words| words.ends_with("replay")).collect();
        let expected: Vec<_> = expected.iter().map(|at| format!("{at} replay")).collect();
        prop_assert_eq!(taken, expected.iter().collect::<Vec<_>>());
    }
}
