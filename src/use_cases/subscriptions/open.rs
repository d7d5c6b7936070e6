//! The opening of streams.

use std::{sync::Arc, time::Duration};

use domain::{
    identity::{IssuedAt, Principal, UserId},
    jitter::Jitter,
    log::{EndReason, LimitReached, NewStream},
    session::Session,
    type_filter::TypeFilter,
};
use parking_lot::MutexGuard;
use ports::inbound::{Connection, StreamRequest, Subscribe, SubscribeError, Subscription};

use super::{
    NatsState, Shared, State, Subscriptions,
    start::{PendingStream, StartPoint},
    stream::OpenStream,
};

/// Minimum time after which a rejected client may retry. Jitter adds up to half of it, and a drain rate the wait for a slot.
const RETRY_AFTER: Duration = Duration::from_secs(6);

impl Subscribe for Subscriptions {
    fn subscribe(
        &self,
        request: StreamRequest,
        connection: Arc<dyn Connection>,
    ) -> Result<Subscription, SubscribeError> {
        let shared = &self.shared;
        let now = shared.now();
        let StreamRequest { principal, last_event_id, request, accept_language, types } = request;
        let Principal { user, issued_at, expires_at, session_id } = principal;
        let start_point = match (last_event_id, &request) {
            (Some(text), _) => StartPoint::parse(text),
            (None, Some(request)) => StartPoint::Bookmark(request.clone()),
            (None, None) => StartPoint::Now,
        };
        let mut state = shared.state.lock();
        shared.admit(&mut state, &user)?;
        let jitter = Jitter::of(state.log.next_stream_number());
        let session = Session::new(now, expires_at, shared.policy().max_age, jitter);
        let preference = state.languages.preference(&user, accept_language);
        let language = shared.language(&preference);
        let stream = NewStream { connection, session, request, preference, issued_at, session_id };
        let (mailbox, id) = state.log.open(&user, stream);
        shared.metrics.stream_opened(state.log.open_streams(), state.log.connected_users());
        if let StartPoint::After(position) = &start_point {
            // If the stream ends before it starts, its bookmark has this position.
            mailbox.with_stream(id, |stream| stream.set_start(*position));
        }
        let pending = PendingStream {
            mailbox: Arc::clone(&mailbox),
            id,
            start_point,
            opened: now.instant,
            latest_at_open: state.log.latest().filter(|_| state.nats != NatsState::Filling),
            ahead_since: None,
        };
        let stream = shared.open_stream(state, pending, issued_at, types);
        Ok(Subscription { language, stream: Box::new(stream) })
    }
}

impl Shared {
    /// Starts a stream, now or when its start position can be determined. Returns its interface.
    pub(super) fn open_stream(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        mut pending: PendingStream,
        issued_at: IssuedAt,
        types: Option<TypeFilter>,
    ) -> OpenStream {
        let (mailbox, id) = (Arc::clone(&pending.mailbox), pending.id);
        let types = types.map(Arc::new);
        if let Some(types) = &types {
            state.filters.insert(id, Arc::clone(types));
        }
        if !self.start(&mut state, &mut pending, self.clock.now()) {
            state.pending.push(pending);
        }
        let is_revoked = state.revocations.is_revoked(mailbox.user(), issued_at);
        drop(state);
        if is_revoked {
            // The account was disabled between the verification of the token and the opening of the stream.
            self.end(&mailbox, id, EndReason::Revoked);
        }
        OpenStream { shared: Arc::clone(self), mailbox: Some(mailbox), id, types }
    }

    /// Checks that `user` may open a stream.
    fn admit(&self, state: &mut State, user: &UserId) -> Result<(), SubscribeError> {
        let retry_after = Jitter::of(state.rejected).lengthen(RETRY_AFTER);
        let rejected = match state.log.check_limits(user) {
            _ if state.stopping => SubscribeError::Stopping { retry_after: retry_after + self.return_wait() },
            Ok(()) => return Ok(()),
            Err(LimitReached::Total) => {
                SubscribeError::TooMany { retry_after: retry_after + self.return_wait() }
            }
            // Takes no slot: a single user would delay the return of all others.
            Err(LimitReached::PerUser) => SubscribeError::TooManyOfUser { retry_after },
        };
        state.rejected += 1;
        self.count(rejected);
        Err(rejected)
    }

    /// Counts a request that was rejected because of a limit.
    fn count(&self, rejected: SubscribeError) {
        match rejected {
            SubscribeError::Stopping { .. } => {}
            SubscribeError::TooMany { .. } => self.metrics.limit_reached(LimitReached::Total),
            SubscribeError::TooManyOfUser { .. } => self.metrics.limit_reached(LimitReached::PerUser),
        }
    }
}
