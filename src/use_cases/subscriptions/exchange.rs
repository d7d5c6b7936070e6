//! Clients come back to whatever instance there is: where their streams stood is heard from the others.

use std::sync::Arc;

use domain::bookmark::Bookmark;
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
                Heard::Bookmark(Bookmark { user, request, position }) => {
                    state.bookmarks.leave(&user, &request, position, now);
                }
                Heard::UpToDate => {
                    state.informed = true;
                    drop(state);
                    self.shared.moved.notify_waiters();
                }
            }
        }
    }
}
