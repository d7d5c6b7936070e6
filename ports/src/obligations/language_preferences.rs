use std::{pin::pin, time::Duration};

use domain::language::{LanguageChoice, LanguageTag};

use super::{is_pending, user};
use crate::outbound::{LanguagePreferences, StoreUpdate};

/// Tests a [`LanguagePreferences`]. `instance` makes the preferences of one more instance; nothing is stored yet.
///
/// # Panics
///
/// An obligation is not met.
pub async fn language_preferences<P: LanguagePreferences>(instance: impl AsyncFn() -> P) {
    let (one, other) = (instance().await, instance().await);
    for preferences in [&one, &other] {
        assert_eq!(preferences.next_update().await, StoreUpdate::UpToDate, "nothing is stored yet");
    }

    // A call that is dropped before it is ready loses nothing.
    assert!(is_pending(pin!(other.next_update())), "there is nothing more to hear");

    // A choice is heard by others, and is later than the one before, wherever that was made.
    let first = choose(&one, Some("de"), None).await;
    assert_eq!(other.next_update().await, StoreUpdate::Entry(first.clone()));
    let second = choose(&other, None, None).await;
    assert!(second.chosen_at > first.chosen_at);
    hears(&one, &second).await;

    // It is later than what the caller knows of, whatever the clock says.
    let future = second.chosen_at + Duration::from_hours(1);
    let third = choose(&one, Some("fr"), Some(future)).await;
    assert!(third.chosen_at > future);
    // And later than what is stored, of which the caller has not heard yet.
    let fourth = choose(&other, Some("it"), None).await;
    assert!(fourth.chosen_at > third.chosen_at);
    hears(&one, &fourth).await;

    // Of what was chosen elsewhere the later counts.
    let at =
        |made, language| LanguageChoice { language: Some(tag(language)), chosen_at: made, ..first.clone() };
    one.keep(at(third.chosen_at, "sv"));
    let kept = at(fourth.chosen_at + Duration::from_secs(1), "nl");
    one.keep(kept.clone());
    hears(&other, &kept).await;

    // What is stored is known to an instance that comes later, and is the same for all.
    drop((one, other));
    let next = instance().await;
    let mut stored = None;
    while let StoreUpdate::Entry(choice) = next.next_update().await {
        stored = Some(choice);
    }
    assert_eq!(stored, Some(kept));
}

/// Tests a [`LanguagePreferences`] whose store is lost, which `lose` does. `instance` makes the preferences of one more instance; nothing is
/// stored yet.
///
/// # Panics
///
/// An obligation is not met.
pub async fn language_preferences_that_are_lost<P: LanguagePreferences>(
    instance: impl AsyncFn() -> P,
    lose: impl AsyncFn(),
) {
    let (one, other) = (instance().await, instance().await);
    for preferences in [&one, &other] {
        assert_eq!(preferences.next_update().await, StoreUpdate::UpToDate, "nothing is stored yet");
    }
    let first = choose(&one, Some("de"), None).await;
    for preferences in [&one, &other] {
        hears(preferences, &first).await;
    }
    lose().await;
    for preferences in [&one, &other] {
        assert_eq!(preferences.next_update().await, StoreUpdate::Recreated);
        assert_eq!(preferences.next_update().await, StoreUpdate::UpToDate, "nothing is in it any more");
    }
    let new = choose(&other, Some("fr"), None).await;
    hears(&one, &new).await;
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
        let heard = preferences.next_update().await;
        let StoreUpdate::Entry(choice) = heard else { panic!("{heard:?}") };
        assert!((last..=expected.chosen_at).contains(&choice.chosen_at), "{choice:?} out of order");
        last = choice.chosen_at;
        if choice == *expected {
            return;
        }
    }
}

fn tag(text: &str) -> LanguageTag {
    LanguageTag::try_new(text).expect("a language tag")
}
