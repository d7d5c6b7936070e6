use std::{pin::pin, time::Duration};

use domain::language::{LanguageChoice, LanguageTag};

use super::{is_pending, user};
use crate::outbound::{LanguagePreferences, StoreUpdate};

/// Tests a [`LanguagePreferences`] with an empty store. `instance` creates the preferences of another instance.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn language_preferences<P: LanguagePreferences>(instance: impl AsyncFn() -> P) {
    let (one, other) = (instance().await, instance().await);
    for preferences in [&one, &other] {
        assert_eq!(preferences.next_update().await, StoreUpdate::UpToDate, "the store is empty");
    }

    // Cancellation safety: a dropped call loses no update.
    assert!(is_pending(pin!(other.next_update())), "there is no further update");

    // Other instances read a choice. It is later than the previous one of any instance.
    let first = choose(&one, Some("de"), None).await;
    assert_eq!(other.next_update().await, StoreUpdate::Entry(first.clone()));
    let second = choose(&other, None, None).await;
    assert!(second.chosen_at > first.chosen_at);
    expect_choice(&one, &second).await;

    // A choice is later than the latest one that the caller knows, even if that is in the future.
    let future = second.chosen_at + Duration::from_hours(1);
    let third = choose(&one, Some("fr"), Some(future)).await;
    assert!(third.chosen_at > future);
    // A choice is later than a stored one that the caller has not read yet.
    let fourth = choose(&other, Some("it"), None).await;
    assert!(fourth.chosen_at > third.chosen_at);
    expect_choice(&one, &fourth).await;

    // `keep` stores a choice only if it is later than the stored one.
    let at =
        |made, language| LanguageChoice { language: Some(tag(language)), chosen_at: made, ..first.clone() };
    one.keep(at(third.chosen_at, "sv"));
    let kept = at(fourth.chosen_at + Duration::from_secs(1), "nl");
    one.keep(kept.clone());
    expect_choice(&other, &kept).await;

    // A new instance reads what is stored.
    drop((one, other));
    let next = instance().await;
    let mut stored = None;
    while let StoreUpdate::Entry(choice) = next.next_update().await {
        stored = Some(choice);
    }
    assert_eq!(stored, Some(kept));
}

/// Tests a [`LanguagePreferences`] whose store is lost. `lose` loses it, and `instance` creates the preferences of another instance. The
/// store is empty at first.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn language_preferences_that_are_lost<P: LanguagePreferences>(
    instance: impl AsyncFn() -> P,
    lose: impl AsyncFn(),
) {
    let (one, other) = (instance().await, instance().await);
    for preferences in [&one, &other] {
        assert_eq!(preferences.next_update().await, StoreUpdate::UpToDate, "the store is empty");
    }
    let first = choose(&one, Some("de"), None).await;
    for preferences in [&one, &other] {
        expect_choice(preferences, &first).await;
    }
    lose().await;
    for preferences in [&one, &other] {
        assert_eq!(preferences.next_update().await, StoreUpdate::Recreated);
        assert_eq!(preferences.next_update().await, StoreUpdate::UpToDate, "the new store is empty");
    }
    let new = choose(&other, Some("fr"), None).await;
    expect_choice(&one, &new).await;
}

/// Makes a choice and checks that it was stored unchanged.
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

/// Waits for a choice. Until then, updates are in the order of their times, and none is later than the expected choice.
async fn expect_choice(preferences: &impl LanguagePreferences, expected: &LanguageChoice) {
    let mut last = Duration::ZERO;
    loop {
        let update = preferences.next_update().await;
        let StoreUpdate::Entry(choice) = update else { panic!("{update:?}") };
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
