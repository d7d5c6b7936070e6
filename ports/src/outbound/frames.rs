use std::time::Duration;

use domain::{
    content::TranslationIndex,
    gap::Gap,
    language::LanguageTag,
    log::EndReason,
    notification::{EventId, Notification},
};

use crate::Frame;

/// Encodes what is written to a stream.
///
/// Obligations:
/// - each frame is a complete block, so that any frame can follow any other one;
/// - the memory of a frame is about its length. It is not a slice of a larger buffer, because the log keeps the frames of its events and
///   counts the length of their texts only;
/// - neither encoding nor dropping a frame has a side effect. The frame of an event is encoded once, shared by many streams, and perhaps
///   never written. A stream is closed by dropping its [`EventStream`](crate::inbound::EventStream), not by dropping frames;
/// - no call blocks or fails. The mailbox of a user is locked during the call.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Frames: Send + Sync {
    /// Encodes one translation of an event.
    fn event(&self, notification: &Notification, translation: TranslationIndex) -> Frame;

    /// Encodes the first block of a stream: the reconnection time, and the id to come back with. Returns none if there is neither.
    fn opening(&self, reconnection_time: Option<Duration>, position: Option<EventId>) -> Option<Frame>;

    /// Encodes a new id to come back with, in a block that is not an event.
    fn position(&self, position: EventId) -> Frame;

    /// Encodes the event that reports a gap up to `position`.
    fn gap(&self, gap: &Gap, position: EventId) -> Frame;

    /// Encodes a comment that the language of the stream is now `language`.
    fn language(&self, language: &LanguageTag) -> Frame;

    /// Encodes a comment that keeps the connection alive. Clients ignore it.
    fn keepalive(&self) -> Frame;

    /// Encodes the last block of a stream: the reconnection time, and a comment with the reason for the end.
    fn closing(&self, reason: EndReason, reconnection_time: Option<Duration>) -> Frame;
}
