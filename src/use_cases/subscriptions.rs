//! The open streams, shared by those who open them and those who write to them.

mod catch_up;
mod delivery;
mod drain;
mod exchange;
mod inspection;
mod languages;
mod upkeep;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    bookmark::{Bookmark, Bookmarks, RequestId},
    fanout::{Fanout, Member, NoPlace, StreamId, StreamLimits},
    history::{History, HistoryLimits},
    identity::{Principal, UserId},
    keepalive::KeepalivePolicy,
    language::{LanguageTag, Languages},
    notification::EventId,
    session::Session,
    spread::Spread,
};
use parking_lot::Mutex;
use ports::{
    inbound::{Membership, Refused, StreamRequest, Subscribe, Subscription},
    outbound::{BookmarkExchange, Clock, EndReason, Frame, Frames, Metrics, Outbox},
};
use tokio::sync::Notify;

use self::catch_up::{Beginning, CatchUp, Progress};
pub(super) use self::delivery::Behind;

/// How streams are treated.
#[derive(Clone, Copy, Debug)]
pub struct StreamPolicy {
    /// How many may be open.
    pub limits: StreamLimits,
    /// For how long events are kept for clients that return.
    pub history: HistoryLimits,
    /// For how long it is remembered where a stream stood, for clients that cannot say so; zero for not at all.
    pub resume_window: Duration,
    /// What was written within so long before a stream's end may never have arrived: to a client that cannot say what it has
    /// had, it is written again.
    pub doubt: Duration,
    /// A silent stream gets a sign of life as this says; none when there is no policy.
    pub keepalive: Option<KeepalivePolicy>,
    /// The age at which streams are ended, if they are.
    pub max_age: Option<Duration>,
    /// How long clients are asked to wait before they come back, if they are.
    pub reconnection_time: Option<Duration>,
    /// Whether a user's streams end with the user's logout.
    pub close_on_logout: bool,
}

/// So many ended streams are remembered at most.
const MOST_BOOKMARKS: usize = 50_000;
/// How long a client that is refused is asked to wait at least; half as long again at most.
const RETRY_AFTER: Duration = Duration::from_secs(6);

/// Every stream that is open, and what their clients may have missed.
#[derive(Clone)]
pub struct Subscriptions {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Those who wait for the history to go on are told that it has.
    moved: Notify,
    policy: StreamPolicy,
    frames: Arc<dyn Frames>,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
    /// None when there are no other instances.
    exchange: Option<Arc<dyn BookmarkExchange>>,
}

/// Held for a few instructions at a time, never across an await.
struct State {
    fanout: Fanout<Arc<dyn Outbox>>,
    bookmarks: Bookmarks,
    languages: Languages,
    /// The streams whose clients are still to be told that another language is wished than before.
    untold: HashSet<StreamId>,
    /// Whether it has been heard what users have chosen.
    knows_languages: bool,
    /// None until the bus is read.
    history: Option<History>,
    /// The last event that every stream which is to have it has been offered.
    settled: Option<EventId>,
    bus: Bus,
    /// Whether it has been heard what other instances remember.
    informed: bool,
    stopping: bool,
    /// When the ids of events are next told to streams that had none for long.
    positions_due: Instant,
    refused: u64,
}

/// How far the bus has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bus {
    /// The recent events are not all in the history yet: nobody can be told what was missed.
    Filling,
    /// They are, and what is new arrives.
    Reading,
    /// They are, but at present nothing arrives.
    Away,
}

impl Subscriptions {
    /// No stream is open yet. Who wishes no language gets `default_language`. Where streams stand when they end is told to others
    /// by `exchange`, if there are any.
    #[must_use]
    pub fn new(
        policy: StreamPolicy,
        default_language: LanguageTag,
        frames: Arc<dyn Frames>,
        metrics: Arc<dyn Metrics>,
        clock: Arc<dyn Clock>,
        exchange: Option<Arc<dyn BookmarkExchange>>,
    ) -> Self {
        let state = State {
            fanout: Fanout::new(policy.limits),
            bookmarks: Bookmarks::new(policy.resume_window, MOST_BOOKMARKS),
            languages: Languages::new(default_language),
            untold: HashSet::new(),
            knows_languages: false,
            history: None,
            settled: None,
            bus: Bus::Filling,
            informed: exchange.is_none(),
            stopping: false,
            positions_due: clock.now(),
            refused: 0,
        };
        let (state, moved) = (Mutex::new(state), Notify::new());
        Self { shared: Arc::new(Shared { state, moved, policy, frames, metrics, clock, exchange }) }
    }
}

impl Subscribe for Subscriptions {
    fn subscribe(&self, request: StreamRequest, outbox: Arc<dyn Outbox>) -> Result<Subscription, Refused> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let StreamRequest { principal: Principal { user, until }, last_event_id, request, accept_language } =
            request;
        let (mut catch_up, language) = {
            let mut state = shared.state.lock();
            state.admit(&user).inspect_err(|refused| shared.count(*refused))?;
            let beginning = match (last_event_id, &request) {
                (Some(text), _) => Beginning::named(text),
                (None, Some(request)) => Beginning::Remembered(request.clone()),
                (None, None) => Beginning::Opening,
            };
            let number = state.fanout.next_number();
            let token = until.saturating_sub(shared.clock.since_1970());
            let session = Session::new(now, token, shared.policy.max_age, Spread::of(number));
            let wish = state.languages.wish(&user, accept_language);
            let language = state.languages.language(&wish);
            let id = state.fanout.join(user.clone(), Arc::clone(&outbox), session, request, wish);
            shared.metrics.stream_opened(state.fanout.streams(), state.fanout.users());
            let shared = Arc::clone(shared);
            (CatchUp::new(shared, user.clone(), id, outbox, beginning, number, &mut state), language)
        };
        let id = catch_up.id();
        // Mostly there is nothing to wait for, and no task is needed.
        let task = match catch_up.advance() {
            Progress::Done => None,
            Progress::Full | Progress::NotYet => Some(tokio::spawn(catch_up.run()).abort_handle()),
        };
        let shared = Arc::clone(shared);
        let leave = move |reason| shared.leave(&user, id, reason);
        let membership = match task {
            // For as long as it lasts it holds no more than it needs.
            None => Membership::new(leave),
            Some(task) => Membership::new(move |reason| {
                task.abort();
                leave(reason);
            }),
        };
        Ok(Subscription { language, membership })
    }
}

impl State {
    fn admit(&mut self, user: &UserId) -> Result<(), Refused> {
        let retry_after = Spread::of(self.refused).later(RETRY_AFTER);
        let admitted = match self.fanout.has_place(user) {
            _ if self.stopping => Err(Refused::Stopping { retry_after }),
            Ok(()) => return Ok(()),
            Err(NoPlace::Total) => Err(Refused::TooMany { retry_after }),
            Err(NoPlace::PerUser) => Err(Refused::TooManyOfUser { retry_after }),
        };
        self.refused += 1;
        admitted
    }
}

impl Shared {
    fn count(&self, refused: Refused) {
        match refused {
            Refused::Stopping { .. } => {}
            Refused::TooMany { .. } => self.metrics.limit_reached(NoPlace::Total),
            Refused::TooManyOfUser { .. } => self.metrics.limit_reached(NoPlace::PerUser),
        }
    }

    /// Whether clients that return are given what they have missed.
    fn remembers(&self) -> bool {
        !self.policy.history.max_age.is_zero()
    }

    /// Where the client whose stream is now `id` stood before: the stream it had may have ended, or not yet be known to have.
    fn stood(
        &self,
        state: &mut State,
        user: &UserId,
        id: StreamId,
        request: &RequestId,
        now: Instant,
    ) -> Option<EventId> {
        let State { fanout, history, bookmarks, .. } = state;
        let others = fanout.members_of(user).filter(|member| member.id() != id);
        let same =
            others.filter(|member| member.resumable.as_ref().is_some_and(|known| known.request == *request));
        let open = same.last().and_then(|member| self.stands(member, history.as_ref(), now));
        // Of the two, the stream that is open is the later.
        bookmarks.take(user, request, now).filter(|_| open.is_none()).or(open)
    }

    /// Up to which event the client of `member` is certain to have everything.
    fn stands(
        &self,
        member: &Member<Arc<dyn Outbox>>,
        history: Option<&History>,
        now: Instant,
    ) -> Option<EventId> {
        let began = member.resumable.as_ref()?.began?;
        let certain = now.checked_sub(self.policy.doubt);
        let certain =
            certain.map(|time| member.stream.unwritten_since().map_or(time, |since| since.min(time)));
        match certain.and_then(|time| Some(history?.before(time))) {
            Some((position, None)) if member.is_live() && !began.follows(position) => Some(position),
            // It began later than that, or it is not known any more what it has had.
            _ => Some(began),
        }
    }

    /// Whoever comes first to take the stream away says why it ended.
    fn leave(&self, user: &UserId, id: StreamId, reason: EndReason) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let left = state.fanout.leave(user, id);
        if let Some(member) = &left {
            self.metrics.stream_closed(reason, state.fanout.streams(), state.fanout.users());
            let stood = self.stands(member, state.history.as_ref(), now);
            if let (Some(resumable), Some(position)) = (&member.resumable, stood) {
                let request = &resumable.request;
                state.bookmarks.leave(user, request, position, now);
                if let Some(exchange) = &self.exchange {
                    exchange.tell(Bookmark { user: user.clone(), request: request.clone(), position });
                }
            }
        }
        // The queue may be the last holder of frames: free them without the lock.
        drop(state);
        drop(left);
    }

    /// Ends one stream; `last` is written after what waits, if its client reads at all.
    fn end(&self, user: &UserId, id: StreamId, outbox: &dyn Outbox, reason: EndReason, last: Option<Frame>) {
        // In this order: the end lets the connection go, which would leave for a reason of its own.
        self.leave(user, id, reason);
        outbox.end(reason, last);
    }
}
