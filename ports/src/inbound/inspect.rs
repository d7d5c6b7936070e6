use std::time::Duration;

use domain::{
    bookmark::RequestId,
    identity::UserId,
    log::Lag,
    notification::{EventId, EventType},
};

use crate::outbound::Statistics;

/// Lets an administrator look inside.
///
/// Nothing is gathered for it: it costs when it is asked, and nothing else.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Inspect: Send + Sync {
    /// What is open now, and what has been counted since the start.
    fn statistics(&self) -> Statistics;

    /// The last events that came after `after`, of all users, the oldest first; some dozens at most.
    fn recent_events(&self, after: Option<EventId>) -> Vec<RecentEvent>;

    /// The streams that the user has open.
    fn streams_of(&self, user: &UserId) -> Vec<OpenStream>;

    /// Ends the streams that the user has open, and answers how many they were. Their clients may come back.
    fn end_streams_of(&self, user: &UserId) -> usize;
}

/// An event without its content, and without the names of those whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentEvent {
    /// Its id.
    pub id: EventId,
    /// Which kind of event it is.
    pub event_type: EventType,
    /// How many users it names; none when it is for everyone.
    pub recipients: Option<usize>,
    /// For how long it has been known here.
    pub age: Duration,
}

/// How it stands with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// The id of the request that opened it, when its client has chosen it.
    pub request: Option<RequestId>,
    /// The last event that it has taken, or whose id its client was told; none until it is known where it starts.
    pub position: Option<EventId>,
    /// For how long nothing was put on it.
    pub silent: Duration,
    /// What it has still to take.
    pub lag: Lag,
    /// How much is left of its life; none when it has no end.
    pub remaining: Option<Duration>,
}
