use async_trait::async_trait;
use domain::bookmark::Bookmark;

use super::StoreUpdate;

/// Shares the bookmarks of ended streams with the other instances, and with the successor of this one.
///
/// `obligations::bookmark_exchange` tests the obligations of an implementation.
#[async_trait]
pub trait BookmarkExchange: Send + Sync {
    /// Publishes a bookmark in the background. It is lost if too many bookmarks wait or the store cannot be reached.
    fn publish(&self, bookmark: Bookmark);

    /// Waits for the next update: first the bookmarks in the store, then new ones. Bookmarks of this instance are left out.
    ///
    /// [`StoreUpdate::UpToDate`] or [`StoreUpdate::Unavailable`] is returned within five seconds after NATS was first reached.
    ///
    /// After [`StoreUpdate::Recreated`] the store has no bookmark from before, so the caller publishes again the ones that it remembers.
    ///
    /// There is one caller at a time.
    ///
    /// Cancellation safe: if a call is dropped before it is ready, no update is lost.
    async fn next_update(&self) -> StoreUpdate<Bookmark>;

    /// Waits until the published bookmarks are in the store, for at most two seconds.
    async fn close(&self);
}
