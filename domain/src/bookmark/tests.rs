//! Tests of the bookmarks.

use super::*;
use crate::notification::Incarnation;

const WINDOW: Duration = Duration::from_mins(2);
const LIMITS: BookmarkLimits = BookmarkLimits { total: 10, per_user: 10 };

fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(1), sequence }
}

fn user(name: &str) -> UserId {
    UserId::try_new(name).expect("a user id")
}

fn request(text: &str) -> RequestId {
    RequestId::try_new(text).expect("a request id")
}

impl Bookmarks {
    fn insert_at(&mut self, name: &str, tab: &str, position: EventId, now: Instant) {
        let point = ResumePoint { position, logged_out: None };
        self.insert(Bookmark { user: user(name), request: request(tab), point }, now);
    }

    fn take_of(&mut self, name: &str, tab: &str, now: Instant) -> Option<EventId> {
        self.take(&user(name), &request(tab), now).map(|point| point.position)
    }
}

#[test]
fn bookmark_is_taken_once_by_the_same_client() {
    let now = Instant::now();
    let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
    bookmarks.insert_at("a", "tab", id(5), now);
    assert_eq!(bookmarks.take_of("a", "other tab", now), None);
    assert_eq!(bookmarks.take_of("b", "tab", now), None, "the bookmark of another user");
    assert_eq!(bookmarks.take_of("a", "tab", now), Some(id(5)));
    assert_eq!(bookmarks.take_of("a", "tab", now), None);
}

#[test]
fn bookmark_is_kept_for_the_window() {
    let start = Instant::now();
    let check = |seconds: u64, expected: Option<EventId>| {
        let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
        bookmarks.insert_at("a", "tab", id(5), start);
        let now = start + Duration::from_secs(seconds);
        assert_eq!(bookmarks.all(now).len(), usize::from(expected.is_some()), "{seconds} s");
        assert_eq!(bookmarks.take_of("a", "tab", now), expected, "{seconds} s");
    };
    check(119, Some(id(5)));
    check(120, None);
}

#[test]
fn newer_bookmark_restarts_the_window() {
    let start = Instant::now();
    let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
    bookmarks.insert_at("a", "tab", id(5), start);
    bookmarks.insert_at("a", "tab", id(9), start + Duration::from_mins(1));
    let now = start + Duration::from_secs(150);
    assert_eq!(bookmarks.take_of("a", "tab", now), Some(id(9)));
}

#[test]
fn latest_position_wins_in_any_order() {
    let in_second = |sequence| EventId { incarnation: Incarnation::of(2), sequence };
    let positions = [id(5), id(9), in_second(1), in_second(3)];
    let now = Instant::now();
    for first in positions {
        for second in positions {
            let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
            bookmarks.insert_at("a", "tab", first, now);
            bookmarks.insert_at("a", "tab", second, now);
            assert_eq!(bookmarks.all(now).len(), 1);
            assert_eq!(bookmarks.take_of("a", "tab", now), Some(first.max(second)));
        }
    }
}

#[test]
fn total_limit_removes_the_oldest_bookmarks() {
    let now = Instant::now();
    let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 2, per_user: 10 });
    for n in 1..=3 {
        bookmarks.insert_at("a", &n.to_string(), id(n), now + Duration::from_secs(n));
    }
    let later = now + Duration::from_secs(4);
    let taken = [1, 2, 3].map(|n: u64| bookmarks.take_of("a", &n.to_string(), later));
    assert_eq!(taken, [None, Some(id(2)), Some(id(3))]);
}

#[test]
fn user_limit_removes_only_the_users_oldest_bookmarks() {
    let now = Instant::now();
    let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 10, per_user: 3 });
    bookmarks.insert_at("b", "tab", id(1), now);
    for n in 1..=100 {
        bookmarks.insert_at("a", &n.to_string(), id(n), now);
    }
    assert_eq!(bookmarks.take_of("b", "tab", now), Some(id(1)));
    let kept: Vec<_> = bookmarks.all(now).into_iter().map(|bookmark| bookmark.point.position).collect();
    assert_eq!(kept, [id(98), id(99), id(100)]);
}

#[test]
fn lower_limits_apply_to_the_next_insert() {
    let now = Instant::now();
    let mut bookmarks = Bookmarks::new(WINDOW, LIMITS);
    for sequence in 1..=4 {
        bookmarks.insert_at("a", &sequence.to_string(), id(sequence), now);
    }
    bookmarks.set_limits(BookmarkLimits { per_user: 2, ..LIMITS });
    bookmarks.insert_at("b", "1", id(1), now);
    bookmarks.insert_at("a", "5", id(5), now);
    let kept = ["1", "2", "3", "4", "5"].map(|tab| bookmarks.take_of("a", tab, now).is_some());
    assert_eq!(kept, [false, false, false, true, true]);
    assert!(bookmarks.take_of("b", "1", now).is_some());
}

#[test]
fn tab_that_reconnects_keeps_one_bookmark() {
    let now = Instant::now();
    let mut bookmarks = Bookmarks::new(WINDOW, BookmarkLimits { total: 2, per_user: 10 });
    bookmarks.insert_at("b", "tab", id(1), now);
    for n in 1..=100 {
        bookmarks.insert_at("a", "tab", id(n), now);
        if n % 2 == 0 {
            bookmarks.take_of("a", "tab", now);
        }
        assert!(bookmarks.order.len() <= 2);
    }
    assert_eq!(bookmarks.take_of("b", "tab", now), Some(id(1)));
}

#[test]
fn expired_bookmarks_free_their_memory() {
    let now = Instant::now();
    let mut none = Bookmarks::new(Duration::ZERO, LIMITS);
    none.insert_at("a", "tab", id(5), now);
    assert!(none.users.is_empty() && none.order.is_empty());

    let mut many = Bookmarks::new(WINDOW, BookmarkLimits { total: 100_000, per_user: 10 });
    for n in 0..10_000 {
        many.insert_at(&n.to_string(), "tab", id(n), now);
    }
    many.remove_expired(now + WINDOW);
    assert!(many.users.is_empty() && many.users.capacity() <= 64 && many.order.is_empty());
}

#[test]
fn request_id_has_a_length_limit() {
    assert!(RequestId::try_new("").is_err());
    assert!(RequestId::try_new(&"x".repeat(200)).is_ok());
    assert!(RequestId::try_new(&"x".repeat(201)).is_err());
}
