//! The open streams, shared by those who open them and those who append events for them.

mod accounts;
mod delivery;
mod drain;
mod exchange;
mod inspection;
mod languages;
mod opening;
mod stream;
mod upkeep;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    bookmark::{BookmarkLimits, Bookmarks},
    identity::{Principal, UserId},
    jitter::Jitter,
    keepalive::KeepalivePolicy,
    language::{LanguageTag, Languages},
    log::{EndReason, EventLog, LATE_AFTER, LimitReached, LogLimits, NewStream, StreamId, StreamLimits},
    revocation::Revocations,
    session::{Now, Session},
};
use parking_lot::{Mutex, RwLock};
use ports::{
    inbound::{Connection, StreamRequest, Subscribe, SubscribeError, Subscription},
    outbound::{BookmarkExchange, Clock, Frames, Metrics},
};

use self::{
    opening::{Beginning, Opening},
    stream::OpenStream,
};
use super::{encoded::Encoded, pace::Pace};

/// A user's mailbox.
type Mailbox = domain::log::Mailbox<Encoded, Arc<dyn Connection>>;

/// An open stream.
type Stream = domain::log::Stream<Arc<dyn Connection>>;

/// How streams are treated. While the service runs, all but `log`, `resume_window` and `unacknowledged` can change.
#[derive(Clone, Copy, Debug)]
pub struct StreamPolicy {
    /// How many may be open.
    pub limits: StreamLimits,
    /// For how long events are kept for clients that return or are slow.
    pub log: LogLimits,
    /// For how long it is remembered where a stream ended, for clients that cannot say so; zero for not at all.
    pub resume_window: Duration,
    /// What was written within so long before a stream's end may never have arrived: to a client that cannot say what it has
    /// had, it is written again.
    pub unacknowledged: Duration,
    /// When silent streams get a comment; they get none when there is no policy.
    pub keepalive: Option<KeepalivePolicy>,
    /// The age at which streams are ended, if they are.
    pub max_age: Option<Duration>,
    /// How long clients are asked to wait before they come back, if they are.
    pub reconnection_time: Option<Duration>,
    /// Whether a user's streams end with the user's logout.
    pub close_on_logout: bool,
    /// Whether a stream ends when its client opens another with the same request id.
    pub replace_streams: bool,
}

/// So many ended streams are remembered at most, and of one user as many as that user may have open.
const MAX_BOOKMARKS: usize = 50_000;
/// So many accounts that were disabled or deleted are remembered at most: about 8 MB with ids of 36 bytes, 40 MB
/// with the longest.
const MAX_REVOKED_ACCOUNTS: usize = 50_000;
/// How long a client that is refused is asked to wait at least; half as long again at most.
const RETRY_AFTER: Duration = Duration::from_secs(6);

/// A user has as many bookmarks as streams.
fn bookmark_limits(limits: StreamLimits) -> BookmarkLimits {
    BookmarkLimits { total: MAX_BOOKMARKS, per_user: limits.per_user }
}

/// Every stream that is open, and the log that they read.
#[derive(Clone)]
pub struct Subscriptions {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    pace: Pace,
    started: Instant,
    /// The policy's part that never changes, which is needed for each stream and each sweep.
    log: LogLimits,
    unacknowledged: Duration,
    /// Read where a stream opens or ends, and once a sweep; never where an event is delivered.
    policy: RwLock<StreamPolicy>,
    default_language: LanguageTag,
    frames: Arc<dyn Frames>,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
    /// None when there are no other instances.
    exchange: Option<Arc<dyn BookmarkExchange>>,
}

/// Held for a few instructions at a time, never across an await. A connection that takes what is next does not need it.
struct State {
    log: EventLog<Encoded, Arc<dyn Connection>>,
    bookmarks: Bookmarks,
    languages: Languages,
    revocations: Revocations,
    /// Streams of which it is not known yet where they start, in the order of their ids.
    openings: Vec<Opening>,
    nats: NatsState,
    /// Whether it has been heard what users have chosen.
    knows_languages: bool,
    /// Whether it has been heard what other instances remember.
    knows_bookmarks: bool,
    stopping: bool,
    /// When it was last looked what is due.
    swept: Instant,
    /// When it is next forgotten what is too old.
    tidy_due: Instant,
    refused: u64,
}

/// How far NATS has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NatsState {
    /// The recent events are not all in the log yet: no client can be told what it has missed.
    Filling,
    /// They are, and what is new arrives.
    Reading,
    /// They are, but what is published arrives late, or not at present.
    Behind,
}

impl Subscriptions {
    /// No stream is open yet. Where no language is preferred, it is `default_language`. Where streams end is told to other instances by
    /// `exchange`, if there are any.
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
            openings: Vec::new(),
            nats: NatsState::Filling,
            knows_languages: false,
            knows_bookmarks: exchange.is_none(),
            stopping: false,
            swept: started,
            tidy_due: started,
            refused: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            pace: Pace::default(),
            started,
            log: policy.log,
            unacknowledged: policy.unacknowledged,
            policy: RwLock::new(policy),
            default_language,
            frames,
            metrics,
            clock,
            exchange,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Treats streams by `policy` from now on. No stream ends because limits are lower: they hold for new streams, as does the age. The
    /// interval of keepalives holds from the next sweep on, for all. `log`, `resume_window` and `unacknowledged` stay as they were.
    pub fn set_policy(&self, policy: StreamPolicy) {
        let mut state = self.shared.state.lock();
        state.log.set_stream_limits(policy.limits);
        state.bookmarks.set_limits(bookmark_limits(policy.limits));
        *self.shared.policy.write() = policy;
    }

    /// How far the connections have come.
    pub(super) fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// Users who have a stream open, or had one lately.
    fn users(&self) -> Vec<UserId> {
        self.shared.state.lock().log.mailboxes().map(|mailbox| mailbox.user().clone()).collect()
    }

    /// Ends the streams of `user` that are `meant`, and returns how many they were.
    fn end_streams(&self, user: &UserId, reason: EndReason, meant: impl Fn(&Stream) -> bool) -> usize {
        let Some(mailbox) = self.shared.state.lock().log.mailbox(user).cloned() else { return 0 };
        let mut open = Vec::new();
        mailbox.for_each_stream(|stream, _| open.extend(meant(stream).then(|| stream.id())));
        for id in &open {
            self.shared.end(&mailbox, *id, reason);
        }
        open.len()
    }
}

impl Subscribe for Subscriptions {
    fn subscribe(
        &self,
        request: StreamRequest,
        connection: Arc<dyn Connection>,
    ) -> Result<Subscription, SubscribeError> {
        let shared = &self.shared;
        let now = shared.now();
        let StreamRequest { principal, last_event_id, request, accept_language } = request;
        let Principal { user, issued_at, expires_at } = principal;
        let mut state = shared.state.lock();
        state.admit(&user).inspect_err(|refused| shared.count(*refused))?;
        let beginning = match (last_event_id, &request) {
            (Some(text), _) => Beginning::named(text),
            (None, Some(request)) => Beginning::Remembered(request.clone()),
            (None, None) => Beginning::Opening,
        };
        let jitter = Jitter::of(state.log.next_stream_number());
        let session = Session::new(now, expires_at, shared.policy().max_age, jitter);
        let preference = state.languages.preference(&user, accept_language);
        let language = shared.language(&preference);
        let (mailbox, id) =
            state.log.open(&user, NewStream { connection, session, request, preference, issued_at });
        shared.metrics.stream_opened(state.log.open_streams(), state.log.connected_users());
        if let Beginning::After(position) = &beginning {
            // There the stream ended, should it end before it starts.
            mailbox.with_stream(id, |stream| stream.set_start(*position));
        }
        let mut opening = Opening {
            mailbox: Arc::clone(&mailbox),
            id,
            beginning,
            opened: now.instant,
            opened_at: state.log.latest().filter(|_| state.nats != NatsState::Filling),
            ahead_since: None,
        };
        if !shared.start(&mut state, &mut opening, now.instant) {
            state.openings.push(opening);
        }
        let is_revoked = state.revocations.is_revoked(&user, issued_at);
        drop(state);
        if is_revoked {
            // The account was disabled after the token was verified.
            shared.end(&mailbox, id, EndReason::Revoked);
        }
        let stream = OpenStream { shared: Arc::clone(shared), mailbox, id };
        Ok(Subscription { language, stream: Box::new(stream) })
    }
}

impl State {
    fn admit(&mut self, user: &UserId) -> Result<(), SubscribeError> {
        let retry_after = Jitter::of(self.refused).lengthen(RETRY_AFTER);
        let admitted = match self.log.check_limits(user) {
            _ if self.stopping => Err(SubscribeError::Stopping { retry_after }),
            Ok(()) => return Ok(()),
            Err(LimitReached::Total) => Err(SubscribeError::TooMany { retry_after }),
            Err(LimitReached::PerUser) => Err(SubscribeError::TooManyOfUser { retry_after }),
        };
        self.refused += 1;
        admitted
    }
}

impl Shared {
    fn count(&self, refused: SubscribeError) {
        match refused {
            SubscribeError::Stopping { .. } => {}
            SubscribeError::TooMany { .. } => self.metrics.limit_reached(LimitReached::Total),
            SubscribeError::TooManyOfUser { .. } => self.metrics.limit_reached(LimitReached::PerUser),
        }
    }

    /// Whether clients that return are given what they have missed.
    fn keeps_history(&self) -> bool {
        !self.log.max_age.is_zero()
    }

    /// How streams are treated at present.
    fn policy(&self) -> StreamPolicy {
        *self.policy.read()
    }

    fn now(&self) -> Now {
        Now { instant: self.clock.now(), unix_time: self.clock.unix_time() }
    }

    /// What was written since then may not have arrived; none when that is everything.
    fn written_since(&self, now: Instant) -> Option<Instant> {
        now.checked_sub(self.unacknowledged + LATE_AFTER)
    }

    /// There is something for a stream that has taken everything.
    fn wake(&self, connection: &Arc<dyn Connection>) {
        if connection.wake() {
            self.pace.woken();
        }
    }

    /// Ends a stream: it takes what was published until now, and a closing comment. The first call decides the recorded reason.
    fn end(&self, mailbox: &Mailbox, id: StreamId, reason: EndReason) {
        let connection = mailbox.with_stream(id, |stream| Arc::clone(&stream.connection));
        let Some(connection) = connection else { return };
        // Before the end can be taken: how it is written depends on it.
        connection.finish();
        if self.leave(&mut self.state.lock(), mailbox, id, reason) {
            self.wake(&connection);
        }
    }

    /// Records the end of a stream, unless it has been ended before. True when its connection has to be woken.
    fn leave(&self, state: &mut State, mailbox: &Mailbox, id: StreamId, reason: EndReason) -> bool {
        let now = self.clock.now();
        let Some(ended) = state.log.end(mailbox, id, reason, self.written_since(now)) else { return false };
        self.metrics.stream_closed(reason, state.log.open_streams(), state.log.connected_users());
        // Should it still be to start, it neither does nor takes the bookmark of a client that returns.
        if let Ok(place) = state.openings.binary_search_by_key(&id, |opening| opening.id) {
            state.openings.remove(place);
        }
        if let Some(bookmark) = ended.bookmark {
            if let Some(exchange) = &self.exchange {
                exchange.publish(bookmark.clone());
            }
            state.bookmarks.insert(bookmark, now);
        }
        ended.needs_wake
    }

    /// Takes a stream away. Unless it was ended before, `reason` is why.
    fn close(&self, mailbox: &Mailbox, id: StreamId, reason: EndReason) {
        let mut state = self.state.lock();
        self.leave(&mut state, mailbox, id, reason);
        state.log.close(mailbox, id, &mut |entry| self.count_latency(entry));
    }
}
