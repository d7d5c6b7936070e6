//! Clients return to any instance: where their streams ended is heard from the others.

use std::sync::Arc;

use domain::bookmark::Bookmark;
use ports::outbound::{BookmarkExchange, Bucket, StoreUpdate};

use super::Subscriptions;

impl Subscriptions {
    /// Remembers what is heard from other instances. Runs until it is dropped.
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
                StoreUpdate::UpToDate => self.start_with_bookmarks(true),
                // New streams do not wait for it.
                StoreUpdate::Unavailable => self.start_with_bookmarks(false),
            }
        }
    }

    fn bookmarks(&self) -> Vec<Bookmark> {
        self.shared.state.lock().bookmarks.all(self.shared.clock.now())
    }

    fn start_with_bookmarks(&self, available: bool) {
        self.shared.metrics.bucket_available(Bucket::Bookmarks, available);
        let mut state = self.shared.state.lock();
        state.knows_bookmarks = true;
        self.shared.start_openings(&mut state, self.shared.clock.now());
    }
}
