use std::time::Duration;

use domain::{
    content::TranslationIndex,
    gap::Gap,
    language::LanguageTag,
    notification::{EventId, Notification},
};

use super::EndReason;

/// Bytes that are ready to be written to any number of streams; a copy shares them.
pub type Frame = bytes::Bytes;

/// How events look on a stream.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Frames: Send + Sync {
    /// The event as its clients read it, in one of its versions.
    fn event(&self, notification: &Notification, translation: TranslationIndex) -> Frame;

    /// What a stream begins with: how long to wait before a reconnection, and the id with which to come back if nothing
    /// else was written. None when there is neither.
    fn opening(&self, reconnection_time: Option<Duration>, position: Option<EventId>) -> Option<Frame>;

    /// The id with which to come back from now on. It is no event.
    fn position(&self, position: EventId) -> Frame;

    /// An event that says that others are missing, up to `position`.
    fn gap(&self, gap: &Gap, position: EventId) -> Frame;

    /// A comment that from now on events come in another language, where there is a choice.
    fn language(&self, language: &LanguageTag) -> Frame;

    /// A comment that keeps the connection alive. Clients do not see it.
    fn keepalive(&self) -> Frame;

    /// The last of a stream: how long to wait before a reconnection, and a comment that says why it ends.
    fn closing(&self, reason: EndReason, reconnection_time: Option<Duration>) -> Frame;
}
