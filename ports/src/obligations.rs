//! What implementations of a port are obliged to, as tests that run against each of them, the fakes included.
//!
//! A test that waits for ever has failed: whoever runs it sets a limit.

use std::time::Duration;

use domain::{
    bookmark::{Bookmark, RequestId, ResumePoint},
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
    notification::{EventId, Incarnation},
};

use crate::outbound::{BookmarkExchange, Heard, LanguagePreferences};

/// Tests a [`BookmarkExchange`]. `instance` makes the exchange of one more instance; nothing was told yet.
///
/// # Panics
///
/// An obligation is not met.
pub async fn bookmark_exchange<E: BookmarkExchange>(instance: impl AsyncFn() -> E) {
    let (one, other) = (instance().await, instance().await);
    for exchange in [&one, &other] {
        assert_eq!(exchange.hear().await, Heard::UpToDate, "nothing was told yet");
    }

    // What others tell is heard, in order, and never what was told here, also when it comes first.
    one.tell(bookmark("own", 1));
    one.close().await;
    other.tell(bookmark("a", 2));
    other.tell(bookmark("b", 3));
    for expected in [bookmark("a", 2), bookmark("b", 3)] {
        assert_eq!(one.hear().await, Heard::Entry(expected));
    }
    assert_eq!(other.hear().await, Heard::Entry(bookmark("own", 1)));

    // What was told before an exchange was closed has arrived: an instance that comes later hears it, then that it is all.
    for sequence in 10..20 {
        other.tell(bookmark(&sequence.to_string(), sequence));
    }
    other.close().await;
    drop(other);
    let next = instance().await;
    let mut heard = Vec::new();
    while let Heard::Entry(bookmark) = next.hear().await {
        heard.push(bookmark.point.position.sequence);
    }
    heard.sort_unstable();
    assert_eq!(heard, [1, 2, 3].into_iter().chain(10..20).collect::<Vec<_>>());

    // A call that is dropped before it is ready loses nothing.
    {
        let waiting = std::pin::pin!(next.hear());
        assert!(is_pending(waiting), "there is nothing more to hear");
    }
    one.tell(bookmark("c", 30));
    assert_eq!(next.hear().await, Heard::Entry(bookmark("c", 30)));
}

/// Tests a [`LanguagePreferences`]. `instance` makes the preferences of one more instance; nothing is stored yet.
///
/// # Panics
///
/// An obligation is not met.
pub async fn language_preferences<P: LanguagePreferences>(instance: impl AsyncFn() -> P) {
    let (one, other) = (instance().await, instance().await);
    for preferences in [&one, &other] {
        assert_eq!(preferences.hear().await, Heard::UpToDate, "nothing is stored yet");
    }

    // A choice is heard by others, and is later than the one before, wherever that was made.
    let first = choose(&one, Some("de"), None).await;
    assert_eq!(other.hear().await, Heard::Entry(first.clone()));
    let second = choose(&other, None, None).await;
    assert!(second.made > first.made);
    hears(&one, &second).await;

    // It is later than what the caller knows of, whatever the clock says.
    let future = second.made + Duration::from_hours(1);
    let third = choose(&one, Some("fr"), Some(future)).await;
    assert!(third.made > future);
    // And later than what is stored, of which the caller has not heard yet.
    let fourth = choose(&other, Some("it"), None).await;
    assert!(fourth.made > third.made);
    hears(&one, &fourth).await;

    // Of what was chosen elsewhere the later counts.
    let at = |made, language| LanguageChoice { language: Some(tag(language)), made, ..first.clone() };
    one.keep(at(third.made, "sv"));
    let kept = at(fourth.made + Duration::from_secs(1), "nl");
    one.keep(kept.clone());
    hears(&other, &kept).await;

    // What is stored is known to an instance that comes later, and is the same for all.
    drop((one, other));
    let next = instance().await;
    let mut stored = None;
    while let Heard::Entry(choice) = next.hear().await {
        stored = Some(choice);
    }
    assert_eq!(stored, Some(kept));
}

/// Makes a choice, which holds as it was made.
async fn choose(
    preferences: &impl LanguagePreferences,
    language: Option<&str>,
    after: Option<Duration>,
) -> LanguageChoice {
    let language = language.map(tag);
    let choice = preferences.choose(user(), language.clone(), after).await.expect("stored");
    assert_eq!((&choice.user, &choice.language), (&user(), &language));
    choice
}

/// Waits until a choice is heard; until then none that is later, and none before one that was made before.
async fn hears(preferences: &impl LanguagePreferences, expected: &LanguageChoice) {
    let mut last = Duration::ZERO;
    loop {
        let heard = preferences.hear().await;
        let Heard::Entry(choice) = heard else { panic!("{heard:?}") };
        assert!((last..=expected.made).contains(&choice.made), "{choice:?} out of order");
        last = choice.made;
        if choice == *expected {
            return;
        }
    }
}

fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending()
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

fn user() -> UserId {
    UserId::try_new("a").expect("a user id")
}

fn tag(text: &str) -> LanguageTag {
    LanguageTag::try_new(text).expect("a language tag")
}
