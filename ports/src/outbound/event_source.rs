use std::time::Duration;

use async_trait::async_trait;
use domain::{
    language::LanguageChoice,
    notification::{EventId, Notification},
    revocation::AccountChange,
};

/// The source of events: a reader of NATS.
///
/// The functions of `obligations::event_source` test the obligations of an implementation.
#[async_trait]
pub trait EventSource: Send {
    /// Waits for the next event. A source never ends: when it loses its connection to NATS, it reports that and reconnects.
    ///
    /// Obligations:
    /// - [`SourceEvent::Resync`] is returned before the first notification;
    /// - every notification and every change of an account published after the position of `Resync` is returned exactly once and in the
    ///   order of NATS, also across interruptions. The recent ones are returned before the first [`SourceEvent::Subscribed`];
    /// - if NATS has lost messages before they were read, another [`SourceEvent::Resync`] is returned. It is returned for no other reason;
    /// - the number of bytes that the source reads ahead of the caller is limited. Further messages wait on NATS;
    /// - the source counts messages that are not notifications, and counts and logs unreadable ones. It does not return them;
    /// - [`SourceEvent::Lag`] is returned after each message of any type, and after the events of that message. A source without a server,
    ///   such as one in memory, returns none;
    /// - it is cancellation safe: if a call is dropped before it is ready, no event is lost.
    async fn next(&mut self) -> SourceEvent;

    /// Releases what NATS holds for this source, if NATS can be reached within two seconds. The source is not called afterwards.
    async fn close(&mut self);
}

/// An event of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// The source continues after `after`. Except for the first `Resync`, events before that are lost.
    Resync {
        /// The last message before the following events, of any type. Its sequence is zero if there is none.
        after: EventId,
    },
    /// The recent events have been returned, and new events arrive as they are published.
    Subscribed,
    /// NATS cannot be read at present. [`SourceEvent::Subscribed`] follows when it can. If the reason of an outage changes, the new one is
    /// reported as well, once.
    Interrupted {
        /// The cause, for an administrator.
        reason: String,
    },
    /// A message was read.
    Lag {
        /// The number of messages after it that wait on NATS to be read.
        messages: u64,
    },
    /// A user has chosen a language elsewhere on the platform. The same choice may be returned again after an interruption.
    LanguageChosen(LanguageChoice),
    /// An account was disabled, deleted or enabled. All events returned before were published before the change.
    AccountChanged(AccountChange),
    /// An event for users.
    Notification {
        /// The event, with its recipients.
        notification: Notification,
        /// The time since NATS stored the event, by the clock of NATS and that of this machine.
        age: Duration,
        /// The metadata of the message, for traces.
        metadata: MessageMetadata,
    },
}

/// The metadata of a message, for traces. Unknown values are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageMetadata {
    /// The messaging system, as OpenTelemetry names it (`messaging.system`).
    pub system: &'static str,
    /// The destination that the message was published to (`messaging.destination.name`).
    pub destination: &'static str,
    /// The size of the received message, in bytes (`messaging.message.body.size`).
    pub body_bytes: usize,
    /// The trace of the publisher (W3C Trace Context, `traceparent`).
    pub trace_parent: Box<str>,
}
