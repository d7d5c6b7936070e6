use async_trait::async_trait;
use domain::bookmark::Bookmark;

use super::StoreUpdate;

/// Where streams stood when they ended, told to the other instances and to the next one of this.
///
/// What implementations are obliged to is tested by `obligations::bookmark_exchange`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BookmarkExchange: Send + Sync {
    /// Tells the others. Nobody waits for it: what cannot be told, because too much waits or nobody can be reached, is lost.
    fn publish(&self, bookmark: Bookmark);

    /// Returns what was told by others, the recent first, then what is new; never what was told by this instance. It waits for as long
    /// as there is nothing. Within five seconds after NATS was reached for the first time it has returned [`StoreUpdate::UpToDate`] or
    /// [`StoreUpdate::Unavailable`].
    ///
    /// After [`StoreUpdate::Recreated`], what was told before is known to nobody who has not heard it: the caller tells again what it
    /// remembers.
    ///
    /// To be called by one listener at a time. A call that is dropped before it is ready loses nothing.
    async fn next_update(&self) -> StoreUpdate<Bookmark>;

    /// Waits until what was told has arrived where other instances and the next one hear it, for two seconds at most.
    async fn close(&self);
}
