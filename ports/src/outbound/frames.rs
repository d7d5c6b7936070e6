use std::time::{Duration, Instant};

use domain::{
    content::Version,
    history::Gap,
    language::LanguageTag,
    notification::{EventId, Notification},
};

use super::EndReason;

/// Bytes that are ready to be written to any number of streams; a copy shares them.
pub type Frame = bytes::Bytes;

/// How events look on a stream.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Frames: Send + Sync {
    /// The event as its clients read it, in one of its versions. When the last stream has let go of the frame, the time since
    /// `published` is counted as the latency of its delivery; a replayed event has none.
    fn event(&self, notification: &Notification, version: Version, published: Option<Instant>) -> Frame;

    /// What a stream begins with: how long to wait before a reconnection, and the id with which to come back if nothing
    /// else was written. None when there is neither.
    fn opening(&self, reconnection_time: Option<Duration>, position: Option<EventId>) -> Option<Frame>;

    /// The id with which to come back from now on. It is no event.
    fn position(&self, position: EventId) -> Frame;

    /// An event that says that others are missing, up to `position`.
    fn gap(&self, gap: &Gap, position: EventId) -> Frame;

    /// A comment that from now on events come in another language, where there is a choice.
    fn language(&self, language: &LanguageTag) -> Frame;

    /// A sign of life that clients do not see.
    fn keepalive(&self) -> Frame;

    /// The last of a stream: how long to wait before a reconnection, and a comment that says why it ends.
    fn farewell(&self, reason: EndReason, reconnection_time: Option<Duration>) -> Frame;
}
