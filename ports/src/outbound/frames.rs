use domain::notification::Notification;

/// Bytes that are ready to be written to any number of streams; a copy shares them.
pub type Frame = bytes::Bytes;

/// How events look on a stream.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Frames: Send + Sync {
    /// The event as its clients read it.
    fn event(&self, notification: &Notification) -> Frame;

    /// A sign of life that clients do not see.
    fn keepalive(&self) -> Frame;
}
