//! What may happen, and under which conditions.

use proptest::prelude::*;

use super::*;

/// Users, by their numbers.
pub(super) const USERS: [&str; 3] = ["a", "b", "c"];
/// Instances that share one NATS.
pub(super) const INSTANCES: usize = 2;
/// Browsers. No user but the last is without one for long.
pub(super) const BROWSERS: usize = 3;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// An event for the users whose bit is set; when all are, for everyone. It is read at once, or with what happens next.
    Publish { users: u8, kind: Kind, at_once: bool },
    /// A browser opens a stream, unless it has one.
    Connect { browser: usize, instance: usize, names: Names },
    /// A browser loses its connection. What was written to it in the last `lost` milliseconds does not arrive. The service notices at once, or
    /// when TCP gives the connection up.
    Lose { browser: usize, lost: u64, is_noticed: bool },
    /// The line to a browser takes nothing for a while, or everything again.
    Read { browser: usize, reads: bool },
    /// The line to a browser that takes nothing takes one turn.
    ReadTurn { browser: usize },
    /// A user chooses to read German, English or what each request asks for: at an instance, or elsewhere on the platform.
    Choose { user: usize, language: Option<&'static str>, instance: Option<usize> },
    /// An instance loses NATS.
    Cut { instance: usize },
    /// It has NATS again.
    Restore { instance: usize },
    /// An instance gets nothing of what is published: for less than a second, or for long, and says that it is behind.
    Hold { instance: usize, is_short: bool },
    /// It gets it.
    Release { instance: usize },
    /// Every message of the queue is removed, whoever has not read it.
    Purge,
    /// The queue is deleted and made anew.
    Recreate,
    /// An instance is stopped.
    Stop { instance: usize },
    /// An instance is killed.
    Kill { instance: usize },
    /// An instance is started.
    Start { instance: usize },
    /// So many milliseconds go by.
    Wait { milliseconds: u64 },
    /// The wall clock of the instances jumps by so many seconds.
    JumpWallClock { seconds: i64 },
    /// The clock of NATS goes before the true time by so many milliseconds.
    SetNatsClock { ahead: i64 },
}

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Small,
    /// Several fit into a small log.
    Medium,
    /// It fills a turn of a stream.
    Large,
    /// In English and German.
    Translated,
    Logout,
}

/// What a browser names when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// What a browser of its kind does.
    Usual,
    /// An id that is none.
    Nonsense,
    /// An event that never comes.
    TheFuture,
}

/// What a browser comes back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    Nothing,
    LastEventId,
    RequestId,
    /// With its `Last-Event-ID` once it has one, and always with its `X-Request-ID`.
    Both,
}

/// A browser, as far as it stays the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kin {
    pub(super) user: usize,
    pub(super) returns: Returns,
    /// For how long its tokens are valid, in seconds, if they end.
    pub(super) token: Option<u64>,
    /// Whether its requests ask for German.
    pub(super) asks_for_german: bool,
}

impl Kin {
    pub(super) fn repeats_request_id(&self) -> bool {
        matches!(self.returns, Returns::RequestId | Returns::Both)
    }

    pub(super) fn repeats_last_event_id(&self) -> bool {
        matches!(self.returns, Returns::LastEventId | Returns::Both)
    }
}

/// How the service is configured, and who comes.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// Of the history, in seconds; zero for none.
    pub(super) max_age: u64,
    pub(super) max_bytes: usize,
    pub(super) close_on_logout: bool,
    /// Of a stream, in seconds.
    pub(super) max_stream_age: Option<u64>,
    pub(super) browsers: [Kin; BROWSERS],
}

impl Conditions {
    pub(super) fn keeps_history(&self) -> bool {
        self.max_age > 0
    }
}

/// For how long what was written may not have arrived.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// For how long bookmarks are kept.
pub(super) const RESUME_WINDOW: Duration = Duration::from_mins(1);

fn kin(returns: impl Strategy<Value = Returns>) -> impl Strategy<Value = Kin> {
    let token = prop_oneof![4 => Just(None), 1 => Just(Some(40))];
    (0..2_usize, returns, token, any::<bool>()).prop_map(|(user, returns, token, asks_for_german)| Kin {
        user,
        returns,
        token,
        asks_for_german,
    })
}

/// How browsers come back, all kinds of them.
pub(super) fn any_return() -> impl Strategy<Value = Returns> + Clone {
    prop_oneof![
        2 => Just(Returns::Nothing),
        4 => Just(Returns::LastEventId),
        3 => Just(Returns::RequestId),
        1 => Just(Returns::Both),
    ]
}

/// A log that holds everything, for minutes.
pub(super) fn large_log() -> impl Strategy<Value = (u64, usize)> {
    Just((300, usize::MAX))
}

/// A log that may forget what a client has missed, or that is none.
pub(super) fn small_log() -> impl Strategy<Value = (u64, usize)> {
    let max_age = prop_oneof![2 => Just(300), 3 => Just(20), 1 => Just(0)];
    let max_bytes = prop_oneof![2 => Just(usize::MAX), 1 => Just(20_000_usize), 1 => Just(300_000)];
    (max_age, max_bytes)
}

/// A service with a log of these limits (seconds and bytes), and browsers that return like this.
pub(super) fn conditions(
    log: impl Strategy<Value = (u64, usize)>,
    returns: impl Strategy<Value = Returns> + Clone,
) -> impl Strategy<Value = Conditions> {
    let max_stream_age = prop_oneof![5 => Just(None), 1 => Just(Some(60))];
    let browsers = [kin(returns.clone()), kin(returns.clone()), kin(returns)];
    (log, any::<bool>(), max_stream_age, browsers).prop_map(
        |((max_age, max_bytes), close_on_logout, max_stream_age, browsers)| Conditions {
            max_age,
            max_bytes,
            close_on_logout,
            max_stream_age,
            browsers,
        },
    )
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}

fn step() -> impl Strategy<Value = Step> {
    let (browser, instance) = (|| 0..BROWSERS, || 0..INSTANCES);
    prop_oneof![
        40 => (1..8_u8, kind(), any::<bool>()).prop_map(|(users, kind, at_once)| Step::Publish { users, kind, at_once }),
        24 => (browser(), instance(), names())
            .prop_map(|(browser, instance, names)| Step::Connect { browser, instance, names }),
        14 => (browser(), prop_oneof![Just(0), 1..9_000_u64], any::<bool>())
            .prop_map(|(browser, lost, is_noticed)| Step::Lose { browser, lost, is_noticed }),
        5 => (browser(), any::<bool>()).prop_map(|(browser, reads)| Step::Read { browser, reads }),
        3 => browser().prop_map(|browser| Step::ReadTurn { browser }),
        5 => (0..2_usize, language(), prop::option::of(instance()))
            .prop_map(|(user, language, instance)| Step::Choose { user, language, instance }),
        4 => instance().prop_map(|instance| Step::Cut { instance }),
        4 => instance().prop_map(|instance| Step::Restore { instance }),
        4 => (instance(), any::<bool>())
            .prop_map(|(instance, is_short)| Step::Hold { instance, is_short }),
        3 => instance().prop_map(|instance| Step::Release { instance }),
        1 => Just(Step::Purge),
        1 => Just(Step::Recreate),
        1 => instance().prop_map(|instance| Step::Stop { instance }),
        2 => instance().prop_map(|instance| Step::Kill { instance }),
        6 => instance().prop_map(|instance| Step::Start { instance }),
        14 => prop_oneof![4 => 1..3_000_u64, 2 => 3_000..15_000_u64, 1 => 15_000..100_000_u64]
            .prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => (-1000..1000_i64).prop_map(|seconds| Step::JumpWallClock { seconds }),
        1 => (-4000..4000_i64).prop_map(|ahead| Step::SetNatsClock { ahead }),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Small),
        3 => Just(Kind::Medium),
        2 => Just(Kind::Large),
        3 => Just(Kind::Translated),
        2 => Just(Kind::Logout),
    ]
}

fn names() -> impl Strategy<Value = Names> {
    prop_oneof![20 => Just(Names::Usual), 1 => Just(Names::Nonsense), 1 => Just(Names::TheFuture)]
}

fn language() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("de")), Just(Some("en"))]
}
