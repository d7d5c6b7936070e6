use std::pin::pin;

use domain::{
    bookmark::{Bookmark, RequestId, ResumePoint},
    notification::{EventId, Incarnation},
};

use super::{is_pending, user};
use crate::outbound::{BookmarkExchange, StoreUpdate};

/// Tests a [`BookmarkExchange`] with an empty store. `instance` creates the exchange of another instance.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn bookmark_exchange<E: BookmarkExchange>(instance: impl AsyncFn() -> E) {
    let (one, other) = (instance().await, instance().await);
    for exchange in [&one, &other] {
        assert_eq!(exchange.next_update().await, StoreUpdate::UpToDate, "the store is empty");
    }

    // An exchange returns the bookmarks of others in order, and none of its own.
    one.publish(bookmark("own", 1));
    one.close().await;
    other.publish(bookmark("a", 2));
    other.publish(bookmark("b", 3));
    for expected in [bookmark("a", 2), bookmark("b", 3)] {
        assert_eq!(one.next_update().await, StoreUpdate::Entry(expected));
    }
    assert_eq!(other.next_update().await, StoreUpdate::Entry(bookmark("own", 1)));

    // Bookmarks published before `close` are in the store. A new instance reads all of them, and then `UpToDate`.
    for sequence in 10..20 {
        other.publish(bookmark(&sequence.to_string(), sequence));
    }
    other.close().await;
    drop(other);
    let next = instance().await;
    let mut read = Vec::new();
    while let StoreUpdate::Entry(bookmark) = next.next_update().await {
        read.push(bookmark.point.position.sequence);
    }
    read.sort_unstable();
    assert_eq!(read, [1, 2, 3].into_iter().chain(10..20).collect::<Vec<_>>());

    // Cancellation safety: a dropped call loses no update.
    {
        let waiting = pin!(next.next_update());
        assert!(is_pending(waiting), "there is no further update");
    }
    one.publish(bookmark("c", 30));
    assert_eq!(next.next_update().await, StoreUpdate::Entry(bookmark("c", 30)));
}

/// Tests a [`BookmarkExchange`] whose store is lost. `lose` loses it, and `instance` creates the exchange of another instance. The store is
/// empty at first.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn bookmark_exchange_that_is_lost<E: BookmarkExchange>(
    instance: impl AsyncFn() -> E,
    lose: impl AsyncFn(),
) {
    let (one, other) = (instance().await, instance().await);
    for exchange in [&one, &other] {
        assert_eq!(exchange.next_update().await, StoreUpdate::UpToDate, "the store is empty");
    }
    one.publish(bookmark("a", 1));
    assert_eq!(other.next_update().await, StoreUpdate::Entry(bookmark("a", 1)));
    lose().await;
    assert_eq!(one.next_update().await, StoreUpdate::Recreated);
    // Bookmarks published from now on are returned.
    one.publish(bookmark("a", 1));
    one.publish(bookmark("b", 2));
    assert_eq!(other.next_update().await, StoreUpdate::Recreated);
    let mut read = Vec::new();
    while read.len() < 2 {
        match other.next_update().await {
            StoreUpdate::Entry(bookmark) => read.push(bookmark.point.position.sequence),
            StoreUpdate::UpToDate => {}
            update => panic!("{update:?}"),
        }
    }
    assert_eq!(read, [1, 2]);
}

fn bookmark(request: &str, sequence: u64) -> Bookmark {
    Bookmark {
        user: user(),
        request: RequestId::try_new(request).expect("a request id"),
        point: ResumePoint {
            position: EventId { incarnation: Incarnation::of(1), sequence },
            logged_out: Some(EventId { incarnation: Incarnation::of(1), sequence }),
        },
    }
}
