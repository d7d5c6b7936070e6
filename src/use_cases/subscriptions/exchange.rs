//! Clients return to any instance: where their streams ended is heard from the others.

use std::sync::Arc;

use ports::outbound::{BookmarkExchange, Heard};

use super::Subscriptions;

impl Subscriptions {
    /// Remembers what is heard from other instances. Runs until it is dropped.
    pub async fn hear(self, exchange: Arc<dyn BookmarkExchange>) {
        loop {
            let heard = exchange.hear().await;
            let now = self.shared.clock.now();
            let mut state = self.shared.state.lock();
            match heard {
                Heard::Bookmark(bookmark) => state.bookmarks.leave(bookmark, now),
                Heard::UpToDate => {
                    state.knows_bookmarks = true;
                    self.shared.start_openings(&mut state, now);
                }
            }
        }
    }
}
