//! Gaps: missing events, as they are reported to a client.

/// The reason why events are missing between a client's last event and its next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The events are older than the log, or NATS has lost them.
    Expired,
    /// The log has evicted the events to stay within its size.
    Limit,
    /// The client has named something that is not an event of the current NATS stream.
    Unknown,
}

/// A gap in the events of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The id that the client has named, or the last one it has received. None if there is no such id.
    pub last_event_id: Option<String>,
    /// Why the events after that id are missing.
    pub reason: GapReason,
}

impl Gap {
    /// Creates the gap of a client that has named something that is not an event of the current NATS stream.
    #[must_use]
    pub fn unknown(last_event_id: String) -> Self {
        Self { last_event_id: Some(last_event_id), reason: GapReason::Unknown }
    }
}
