use async_trait::async_trait;
use domain::bookmark::Bookmark;

/// Where streams stood when they ended, told to the other instances and to the next one of this.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BookmarkExchange: Send + Sync {
    /// Tells the others. Nobody waits for it: what cannot be told, because too much waits or nobody can be reached, is lost.
    fn tell(&self, bookmark: Bookmark);

    /// What was told by others, the recent first, then what is new; never what was told by this instance. It waits for as long
    /// as there is nothing.
    ///
    /// To be called by one listener at a time. A call that is dropped before it is ready loses nothing.
    async fn hear(&self) -> Heard;

    /// Waits until what was told has gone out, for two seconds at most.
    async fn close(&self);
}

/// What there is to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A stream has ended elsewhere.
    Bookmark(Bookmark),
    /// What was told recently has all been heard, or cannot be. It is said once, and soon when others can be reached.
    UpToDate,
}
