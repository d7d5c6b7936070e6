use std::time::Duration;

use domain::{
    bookmark::RequestId,
    identity::UserId,
    log::Lag,
    notification::{EventId, EventType},
    statistics::Statistics,
};

/// Inspection for administrators. Figures are computed on request: no data is collected for this port.
pub trait Inspect: Send + Sync {
    /// Returns the current and the accumulated figures.
    fn statistics(&self) -> Statistics;

    /// Returns the recent events after `after`, of all users, the oldest first. The number is limited to some dozens.
    fn recent_events(&self, after: Option<EventId>) -> Vec<RecentEvent>;

    /// Returns the open streams of the user.
    fn streams_of(&self, user: &UserId) -> Vec<OpenStream>;

    /// Ends the open streams of the user and returns their number. Their clients may reconnect.
    fn end_streams_of(&self, user: &UserId) -> usize;
}

/// An event without its content and without its recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentEvent {
    /// The id that clients receive.
    pub id: EventId,
    /// The type, which is the `event` field on streams.
    pub event_type: EventType,
    /// The number of users that the event names. None for an event for everyone.
    pub recipients: Option<usize>,
    /// The time since the event was recorded in the log.
    pub age: Duration,
}

/// The state of an open stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// The id of the request that opened the stream, if its client sent one.
    pub request: Option<RequestId>,
    /// The last event that the stream has taken, or the last id that it has sent to its client. None until it is known where the stream
    /// starts.
    pub position: Option<EventId>,
    /// The time since the stream was last written to.
    pub since_last_write: Duration,
    /// The events that the stream has not taken yet.
    pub lag: Lag,
    /// The time until the stream ends. None if it does not end.
    pub remaining: Option<Duration>,
}
