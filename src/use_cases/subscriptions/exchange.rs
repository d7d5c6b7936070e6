//! The exchange of bookmarks between instances, so that a client can return to any instance.

use std::sync::Arc;

use domain::bookmark::Bookmark;
use ports::outbound::{BookmarkExchange, Bucket, StoreUpdate};

use super::Subscriptions;

impl Subscriptions {
    /// Records the bookmarks of other instances, until the future is dropped.
    pub async fn follow(self, exchange: Arc<dyn BookmarkExchange>) {
        loop {
            match exchange.next_update().await {
                StoreUpdate::Entry(bookmark) => {
                    let now = self.shared.clock.now();
                    self.shared.state.lock().bookmarks.insert(bookmark, now);
                }
                StoreUpdate::Recreated => {
                    for bookmark in self.bookmarks() {
                        exchange.publish(bookmark);
                    }
                }
                StoreUpdate::UpToDate => self.bookmarks_settled(true),
                // New streams do not wait until the store is available again.
                StoreUpdate::Unavailable => self.bookmarks_settled(false),
            }
        }
    }

    fn bookmarks(&self) -> Vec<Bookmark> {
        self.shared.state.lock().bookmarks.all(self.shared.clock.now())
    }

    /// Starts the streams that wait for bookmarks. `available` is whether the bookmarks of other instances could be read.
    fn bookmarks_settled(&self, available: bool) {
        self.shared.metrics.bucket_available(Bucket::Bookmarks, available);
        let mut state = self.shared.state.lock();
        state.bookmarks_loaded = true;
        self.shared.start_pending(&mut state, self.shared.clock.now());
    }
}
