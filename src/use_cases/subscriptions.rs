//! The open streams and the log that they read, shared by all use cases.

mod accounts;
mod adopt;
mod delivery;
mod drain;
mod exchange;
mod hand_over;
mod inspection;
mod languages;
mod maintenance;
mod open;
mod start;
mod stream;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    bookmark::{BookmarkLimits, Bookmarks},
    drain::{DrainRate, ReturnQueue},
    identity::UserId,
    keepalive::KeepalivePolicy,
    language::{LanguageTag, Languages},
    log::{EndReason, EventLog, LATE_AFTER, LogLimits, StreamId, StreamLimits},
    revocation::Revocations,
    session::Now,
    type_filter::TypeFilter,
};
use parking_lot::{Mutex, RwLock};
use ports::{
    inbound::Connection,
    outbound::{BookmarkExchange, Clock, Frames, Metrics},
};

use self::start::PendingStream;
use super::{encoded::Encoded, pace::Pace};

/// A user's mailbox.
type Mailbox = domain::log::Mailbox<Encoded, Arc<dyn Connection>>;

/// An open stream.
type Stream = domain::log::Stream<Arc<dyn Connection>>;

/// The policy for streams. All fields but `log`, `resume_window` and `unacknowledged` can change while the service runs.
#[derive(Clone, Copy, Debug)]
pub struct StreamPolicy {
    /// The limits of open streams.
    pub limits: StreamLimits,
    /// The limits of the log, which keeps events for returning and slow clients.
    pub log: LogLimits,
    /// How long the position of an ended stream is remembered, for clients that cannot send a last event id. Zero turns this off.
    pub resume_window: Duration,
    /// The unacknowledged window: data written to a stream within this time before its end may not have arrived. It is sent again to a
    /// client that returns without a last event id.
    pub unacknowledged: Duration,
    /// The schedule of keepalive comments on silent streams. None for no keepalives.
    pub keepalive: Option<KeepalivePolicy>,
    /// Maximum age of a stream. None for no maximum.
    pub max_age: Option<Duration>,
    /// The reconnection time that is sent to clients. None to send none.
    pub reconnection_time: Option<Duration>,
    /// The pace at which streams end when the service stops, and at which clients are asked to return. None for no limit.
    pub drain_rate: Option<DrainRate>,
    /// Whether a logout ends the user's streams.
    pub close_on_logout: bool,
    /// Whether a stream ends when its client opens another one with the same request id.
    pub replace_streams: bool,
}

/// Maximum number of bookmarks of all users.
const MAX_BOOKMARKS: usize = 50_000;
/// Maximum number of disabled or deleted accounts that are remembered: about 10 MB with ids of 36 bytes, 60 MB with the longest ids.
const MAX_REVOKED_ACCOUNTS: usize = 50_000;

/// Returns the limits of bookmarks: a user may have as many bookmarks as open streams.
fn bookmark_limits(limits: StreamLimits) -> BookmarkLimits {
    BookmarkLimits { total: MAX_BOOKMARKS, per_user: limits.per_user }
}

/// All open streams and the log that they read. Clones share them.
#[derive(Clone)]
pub struct Subscriptions {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    pace: Pace,
    started: Instant,
    /// The constant part of the policy. It is read for each stream and each sweep, without the lock of `policy`.
    log: LogLimits,
    unacknowledged: Duration,
    /// Read when a stream opens or ends and once per sweep, but not when an event is delivered.
    policy: RwLock<StreamPolicy>,
    /// The slots of clients that are asked to return. No other lock is taken while it is locked.
    returns: Mutex<ReturnQueue>,
    default_language: LanguageTag,
    frames: Arc<dyn Frames>,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
    /// None if there are no other instances.
    exchange: Option<Arc<dyn BookmarkExchange>>,
}

/// The state behind the lock. The lock is never held across an await, and for most work not for more than a batch of mailboxes at a time. A
/// connection that takes its next events does not need it.
struct State {
    log: EventLog<Encoded, Arc<dyn Connection>>,
    bookmarks: Bookmarks,
    languages: Languages,
    revocations: Revocations,
    /// The streams that have no start position yet, in the order of their ids.
    pending: Vec<PendingStream>,
    /// The filters of the open streams that have one, for another process that continues the stream.
    filters: HashMap<StreamId, Arc<TypeFilter>>,
    nats: NatsState,
    /// Whether the stored language choices have been read, or their store is unavailable.
    languages_loaded: bool,
    /// Whether the bookmarks of other instances have been read, or their store is unavailable.
    bookmarks_loaded: bool,
    stopping: bool,
    /// The time of the last sweep.
    last_sweep: Instant,
    /// The time from which the next sweep removes expired data.
    cleanup_due: Instant,
    /// The number of rejected requests.
    rejected: u64,
}

/// The progress of reading NATS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NatsState {
    /// The log does not have all recent events yet, so missed events cannot be determined.
    Filling,
    /// The log has all recent events, and new events arrive.
    Reading,
    /// The log has the recent events, but new events arrive late or not at all.
    Lagging,
}

impl Subscriptions {
    /// Creates the subscriptions, without open streams. `default_language` applies if a user has chosen no language and a request accepts
    /// none. `exchange` shares bookmarks with other instances; none if there are no other instances.
    #[must_use]
    pub fn new(
        policy: StreamPolicy,
        default_language: LanguageTag,
        frames: Arc<dyn Frames>,
        metrics: Arc<dyn Metrics>,
        clock: Arc<dyn Clock>,
        exchange: Option<Arc<dyn BookmarkExchange>>,
    ) -> Self {
        let started = clock.now();
        let state = State {
            log: EventLog::new(policy.log, policy.limits),
            bookmarks: Bookmarks::new(policy.resume_window, bookmark_limits(policy.limits)),
            languages: Languages::new(default_language.clone()),
            revocations: Revocations::new(MAX_REVOKED_ACCOUNTS),
            pending: Vec::new(),
            filters: HashMap::new(),
            nats: NatsState::Filling,
            languages_loaded: false,
            bookmarks_loaded: exchange.is_none(),
            stopping: false,
            last_sweep: started,
            cleanup_due: started,
            rejected: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            pace: Pace::default(),
            started,
            log: policy.log,
            unacknowledged: policy.unacknowledged,
            policy: RwLock::new(policy),
            returns: Mutex::new(ReturnQueue::new(policy.log.max_age)),
            default_language,
            frames,
            metrics,
            clock,
            exchange,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Replaces the policy. New limits and a new maximum age apply to new streams; no open stream ends because a limit is lower. A new
    /// keepalive interval applies to all streams from the next sweep. `log`, `resume_window` and `unacknowledged` keep their values.
    pub fn set_policy(&self, policy: StreamPolicy) {
        let mut state = self.shared.state.lock();
        state.log.set_stream_limits(policy.limits);
        state.bookmarks.set_limits(bookmark_limits(policy.limits));
        *self.shared.policy.write() = policy;
    }

    /// Returns the pace of the connections.
    pub(super) fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// Ends the streams of `user` for which `filter` returns true. Returns their number.
    fn end_streams(&self, user: &UserId, reason: EndReason, filter: impl Fn(&Stream) -> bool) -> usize {
        let mailbox = self.shared.state.lock().log.mailbox(user).cloned();
        mailbox.map_or(0, |mailbox| self.shared.end_streams(&mailbox, reason, filter))
    }
}

impl Shared {
    /// Returns whether the log keeps events for returning clients.
    fn keeps_history(&self) -> bool {
        !self.log.max_age.is_zero()
    }

    /// Returns the current policy.
    fn policy(&self) -> StreamPolicy {
        *self.policy.read()
    }

    /// Returns how long a client waits for its slot to return. Zero without a drain rate.
    fn return_wait(&self) -> Duration {
        let rate = self.policy().drain_rate;
        rate.map_or(Duration::ZERO, |rate| self.returns.lock().next_wait(rate, self.clock.now()))
    }

    fn now(&self) -> Now {
        Now { instant: self.clock.now(), unix_time: self.clock.unix_time() }
    }

    /// Returns the start of the unacknowledged window: everything written before it has arrived. None if nothing is that old.
    fn confirmed_until(&self, now: Instant) -> Option<Instant> {
        now.checked_sub(self.unacknowledged + LATE_AFTER)
    }

    /// Wakes the connection of a stream that had taken everything and has more to take.
    fn wake(&self, connection: &Arc<dyn Connection>) {
        if connection.wake() {
            self.pace.woken();
        }
    }

    /// Ends the streams of a mailbox for which `filter` returns true. Returns their number.
    fn end_streams(&self, mailbox: &Mailbox, reason: EndReason, filter: impl Fn(&Stream) -> bool) -> usize {
        let mut ids = Vec::new();
        mailbox.for_each_stream(|stream, _| ids.extend(filter(stream).then(|| stream.id())));
        for id in &ids {
            self.end(mailbox, *id, reason);
        }
        ids.len()
    }

    /// Ends a stream: it still takes the events published until now and a closing comment. The first call decides the recorded reason.
    fn end(&self, mailbox: &Mailbox, id: StreamId, reason: EndReason) {
        let connection = mailbox.with_stream(id, |stream| Arc::clone(&stream.connection));
        let Some(connection) = connection else { return };
        // Called before the connection can take the end of the stream, because it writes the last frames with another deadline.
        connection.finish();
        if self.record_end(&mut self.state.lock(), mailbox, id, reason) {
            self.wake(&connection);
        }
    }

    /// Records the end of a stream, unless it has ended before. Returns whether its connection has to be woken.
    fn record_end(&self, state: &mut State, mailbox: &Mailbox, id: StreamId, reason: EndReason) -> bool {
        let now = self.clock.now();
        let Some(ended) = state.log.end(mailbox, id, reason, self.confirmed_until(now)) else { return false };
        self.metrics.stream_closed(reason, state.log.open_streams(), state.log.connected_users());
        // A pending stream must not start any more: it would take the bookmark that the client's next stream needs.
        if let Ok(index) = state.pending.binary_search_by_key(&id, |pending| pending.id) {
            state.pending.remove(index);
        }
        // The other process knows the position of a stream that it continues.
        if let Some(bookmark) = ended.bookmark.filter(|_| reason != EndReason::HandedOver) {
            if let Some(exchange) = &self.exchange {
                exchange.publish(bookmark.clone());
            }
            state.bookmarks.insert(bookmark, now);
        }
        ended.needs_wake
    }

    /// Removes a stream. `reason` is recorded unless the stream has ended before. Returns the recorded reason.
    fn close(&self, mailbox: &Mailbox, id: StreamId, reason: EndReason) -> EndReason {
        let mut state = self.state.lock();
        self.record_end(&mut state, mailbox, id, reason);
        state.filters.remove(&id);
        let closed = state.log.close(mailbox, id, &mut |entry| self.count_latency(entry));
        closed.and_then(|stream| stream.end_reason()).unwrap_or(reason)
    }
}
