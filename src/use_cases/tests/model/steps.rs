//! The steps of the model and the conditions under which they happen.

use proptest::prelude::*;

use super::*;

/// The names of the users.
pub(super) const USERS: [&str; 3] = ["a", "b", "c"];
/// The number of instances.
pub(super) const INSTANCES: usize = 2;
/// The number of browsers. The last user has none.
pub(super) const BROWSERS: usize = 3;

/// A step of the model.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// An event is published for the users whose bit is set, or for everyone if all are set. It is read at once or with the next step.
    Publish { users: u8, kind: Kind, at_once: bool },
    /// A browser opens a stream, unless it has one.
    Connect { browser: usize, instance: usize, sent_id: SentId },
    /// A browser loses its connection and the data of the last `lost` milliseconds. The service notices at once, or when TCP times out.
    Lose { browser: usize, lost: u64, is_noticed: bool },
    /// A browser stops reading, or reads again.
    Read { browser: usize, reads: bool },
    /// A browser that has stopped reading reads one turn.
    ReadTurn { browser: usize },
    /// A user chooses German, English or the language of each request, on an instance or in the platform's settings.
    Choose { user: usize, language: Option<&'static str>, instance: Option<usize> },
    /// An instance loses the connection to NATS.
    Disconnect { instance: usize },
    /// An instance reconnects to NATS.
    Reconnect { instance: usize },
    /// Messages do not reach an instance: for less than a second, or for longer, in which case it reports that it is lagging.
    Hold { instance: usize, is_short: bool },
    /// The delayed messages reach the instance.
    Release { instance: usize },
    /// All messages of the queue are removed, also unread ones.
    Purge,
    /// The queue is deleted and recreated.
    Recreate,
    /// An instance is stopped.
    Stop { instance: usize },
    /// An instance is killed.
    Kill { instance: usize },
    /// An instance is started.
    Start { instance: usize },
    /// Time passes, in milliseconds.
    Wait { milliseconds: u64 },
    /// The wall clock of the instances jumps, in seconds.
    JumpWallClock { seconds: i64 },
    /// The clock of NATS is set ahead of the true time, in milliseconds.
    SetNatsClock { ahead: i64 },
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Small,
    /// Several fit into a small log.
    Medium,
    /// Fills a turn of a stream.
    Large,
    /// In English and German.
    Translated,
    Logout,
}

/// The last event id that a browser sends when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SentId {
    /// The correct id, or none, depending on the kind of browser.
    Usual,
    Invalid,
    /// The id of an event that is never published.
    Future,
}

/// The position that a browser sends when it reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    Nothing,
    LastEventId,
    RequestId,
    /// `LastStream-Event-ID` once the browser has one, and always `X-Request-ID`.
    Both,
}

/// The constant properties of a browser.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrowserKind {
    pub(super) user: usize,
    pub(super) returns: Returns,
    /// The lifetime of tokens in seconds. None if they do not expire.
    pub(super) token: Option<u64>,
    /// Whether requests ask for German.
    pub(super) asks_for_german: bool,
}

impl BrowserKind {
    pub(super) fn repeats_request_id(&self) -> bool {
        matches!(self.returns, Returns::RequestId | Returns::Both)
    }

    pub(super) fn repeats_last_event_id(&self) -> bool {
        matches!(self.returns, Returns::LastEventId | Returns::Both)
    }
}

/// The configuration of the service, and the browsers.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// Maximum age of the history in seconds. Zero for no history.
    pub(super) max_age: u64,
    pub(super) max_bytes: usize,
    pub(super) close_on_logout: bool,
    /// Maximum age of a stream in seconds.
    pub(super) max_stream_age: Option<u64>,
    pub(super) browsers: [BrowserKind; BROWSERS],
}

impl Conditions {
    pub(super) fn keeps_history(&self) -> bool {
        self.max_age > 0
    }
}

/// The unacknowledged window.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// How long bookmarks are kept.
pub(super) const RESUME_WINDOW: Duration = Duration::from_mins(1);

fn browser_kind(returns: impl Strategy<Value = Returns>) -> impl Strategy<Value = BrowserKind> {
    let token = prop_oneof![4 => Just(None), 1 => Just(Some(40))];
    (0..2_usize, returns, token, any::<bool>()).prop_map(|(user, returns, token, asks_for_german)| {
        BrowserKind { user, returns, token, asks_for_german }
    })
}

/// Generates all kinds of reconnecting browsers.
pub(super) fn any_return() -> impl Strategy<Value = Returns> + Clone {
    prop_oneof![
        2 => Just(Returns::Nothing),
        4 => Just(Returns::LastEventId),
        3 => Just(Returns::RequestId),
        1 => Just(Returns::Both),
    ]
}

/// Generates the limits of a log that keeps everything.
pub(super) fn large_log() -> impl Strategy<Value = (u64, usize)> {
    Just((300, usize::MAX))
}

/// Generates the limits of a log that may remove events that a client has missed, or of no log.
pub(super) fn small_log() -> impl Strategy<Value = (u64, usize)> {
    let max_age = prop_oneof![2 => Just(300), 3 => Just(20), 1 => Just(0)];
    let max_bytes = prop_oneof![2 => Just(usize::MAX), 1 => Just(20_000_usize), 1 => Just(300_000)];
    (max_age, max_bytes)
}

/// Generates the conditions with a log of these limits (seconds and bytes) and browsers that reconnect like this.
pub(super) fn conditions(
    log: impl Strategy<Value = (u64, usize)>,
    returns: impl Strategy<Value = Returns> + Clone,
) -> impl Strategy<Value = Conditions> {
    let max_stream_age = prop_oneof![5 => Just(None), 1 => Just(Some(60))];
    let browsers = [browser_kind(returns.clone()), browser_kind(returns.clone()), browser_kind(returns)];
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
        24 => (browser(), instance(), sent_id())
            .prop_map(|(browser, instance, sent_id)| Step::Connect { browser, instance, sent_id }),
        14 => (browser(), prop_oneof![Just(0), 1..9_000_u64], any::<bool>())
            .prop_map(|(browser, lost, is_noticed)| Step::Lose { browser, lost, is_noticed }),
        5 => (browser(), any::<bool>()).prop_map(|(browser, reads)| Step::Read { browser, reads }),
        3 => browser().prop_map(|browser| Step::ReadTurn { browser }),
        5 => (0..2_usize, language(), prop::option::of(instance()))
            .prop_map(|(user, language, instance)| Step::Choose { user, language, instance }),
        4 => instance().prop_map(|instance| Step::Disconnect { instance }),
        4 => instance().prop_map(|instance| Step::Reconnect { instance }),
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

fn sent_id() -> impl Strategy<Value = SentId> {
    prop_oneof![20 => Just(SentId::Usual), 1 => Just(SentId::Invalid), 1 => Just(SentId::Future)]
}

fn language() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("de")), Just(Some("en"))]
}
