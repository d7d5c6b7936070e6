//! Missing events, as a client is told of them.

/// The reason why events are missing between the last one that a client has had and the next one it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// They are older than the log reaches, or NATS itself no longer had them.
    Expired,
    /// The log could not hold so many.
    Limit,
    /// The client names something that is not an event of the present NATS stream.
    Unknown,
}

/// What a client is told when events are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The id that the client has named, or was told last; none when there was none.
    pub last_event_id: Option<String>,
    /// Why events after it are missing.
    pub reason: GapReason,
}

impl Gap {
    /// The client has named something that is not an event of the present NATS stream.
    #[must_use]
    pub fn unknown(last_event_id: String) -> Self {
        Self { last_event_id: Some(last_event_id), reason: GapReason::Unknown }
    }
}
