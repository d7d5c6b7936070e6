use proptest::prelude::*;

use super::*;
use crate::notification::{EventType, Incarnation};

const MINUTE: Duration = Duration::from_mins(1);
const LIMITS: HistoryLimits = HistoryLimits { max_age: MINUTE, max_bytes: usize::MAX };

fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(7), sequence }
}

fn user(name: &str) -> UserId {
    UserId::try_new(name).expect("a user id")
}

fn notification(sequence: u64, users: &[&str]) -> Arc<Notification> {
    Arc::new(Notification {
        id: id(sequence),
        recipients: users.iter().map(|name| user(name)).collect(),
        event_type: EventType::try_new("t").expect("an event type"),
        content: sequence.to_string().into(),
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
    let foreign = EventId { incarnation: Incarnation::of(8), sequence: 12 };
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
