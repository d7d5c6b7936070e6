use std::time::Duration;

use async_trait::async_trait;
use domain::{
    language::LanguageChoice,
    notification::{EventId, Notification},
    revocation::AccountChange,
};

/// The bus, as seen by the one who reads it.
///
/// What implementations are obliged to is tested by the functions of `obligations::event_source`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EventSource: Send {
    /// Returns what comes next. It waits for as long as nothing does, and it never ends: a source that loses its bus says so and keeps
    /// trying.
    ///
    /// Obligations:
    /// - [`SourceEvent::Resync`] comes before the first notification;
    /// - every notification and every change of an account that was published after what it names comes exactly once and in the order of the bus, also
    ///   across interruptions; the recent ones come before the first [`SourceEvent::Subscribed`];
    /// - what the bus has lost before it could be read is told by another [`SourceEvent::Resync`], and nothing else is;
    /// - no more is read ahead than a bounded number of bytes: what nobody asks for waits on the bus;
    /// - what is no notification, or cannot be read as one, is counted (and the latter logged) by the source, not returned;
    /// - a call that is dropped before it is ready loses nothing.
    async fn next(&mut self) -> SourceEvent;

    /// Gives up what is held on the bus for this source, as far as the bus can be reached within two seconds. Nothing is
    /// asked of the source afterwards.
    async fn close(&mut self);
}

/// What the bus has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// What comes now was published after `after`, and nothing that was is left out. Unless this is the first, events
    /// before that are lost.
    Resync {
        /// The last event before what comes, of whatever type; of sequence zero when there was none.
        after: EventId,
    },
    /// What was published recently has come, and from here on what is published arrives.
    Subscribed,
    /// For now nothing arrives; the source keeps trying, and [`SourceEvent::Subscribed`] follows. An outage may have one reason after the
    /// other, and each is said once.
    Interrupted {
        /// What stands in the way, for an administrator.
        reason: String,
    },
    /// Events arrive, but many later than they should; [`SourceEvent::Subscribed`] follows when they do no longer.
    Lagging {
        /// How many messages wait to be read.
        messages: u64,
    },
    /// A user has chosen a language elsewhere on the platform. After an interruption of this service it may be told again.
    LanguageChosen(LanguageChoice),
    /// An account was disabled or deleted, or enabled again. What comes before this in the order of the bus was published before.
    AccountChanged(AccountChange),
    /// Something to tell people.
    Notification {
        /// What that is.
        notification: Notification,
        /// For how long the bus has had it, by the bus's clock and ours.
        age: Duration,
        /// How it came, for traces.
        delivery: Delivery,
    },
}

/// How a message came, for traces. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The messaging system, as OpenTelemetry names it (`messaging.system`).
    pub system: &'static str,
    /// What the message was published to.
    pub destination: &'static str,
    /// The size of the message as it came, in bytes.
    pub body_bytes: usize,
    /// The trace that its publisher has begun (W3C Trace Context, `traceparent`).
    pub trace_parent: Box<str>,
}
