use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{LanguagePriorityList, LanguageTag};
use crate::identity::UserId;

/// A user's choice of a language, for all of the user's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageChoice {
    /// The user who has chosen.
    pub user: UserId,
    /// The language. None if each request's own preference takes effect again.
    pub language: Option<LanguageTag>,
    /// When NATS stored the choice, by the clock of NATS, as the time since 1970. The latest choice of a user takes effect.
    pub chosen_at: Duration,
}

impl LanguageChoice {
    /// Returns the time of a choice that NATS stored at `time` and that replaces the choice of the time `replaced`. It is later than
    /// `replaced`, even if the clock of NATS was set back.
    #[must_use]
    pub fn time_after(replaced: Option<Duration>, time: Duration) -> Duration {
        replaced.map_or(time, |replaced| time.max(replaced.saturating_add(Duration::from_nanos(1))))
    }
}

/// The languages of all users. On a stream the user's choice takes effect, else the preference of the stream's request, else the default.
#[derive(Debug)]
pub struct Languages {
    default: Arc<LanguagePriorityList>,
    default_language: LanguageTag,
    choices: HashMap<UserId, KnownChoice>,
    /// The preferences of all streams. Equal ones are shared, and there are few different ones.
    preferences: HashSet<Arc<PreferredLanguages>>,
}

#[derive(Debug)]
struct KnownChoice {
    language: Option<LanguageTag>,
    chosen_at: Duration,
    /// Whether the choice was read from a store that is gone, and not yet from the store that replaced it.
    is_stale: bool,
}

/// The language preference of a stream. Streams with equal preferences share one, so that comparing two of them is comparing pointers.
#[derive(Clone, Debug)]
pub struct LanguagePreference(Arc<PreferredLanguages>);

impl PartialEq for LanguagePreference {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LanguagePreference {}

impl Hash for LanguagePreference {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PreferredLanguages {
    /// The preference of the request. None if the request has none.
    requested: Option<Arc<LanguagePriorityList>>,
    /// The preference that takes effect.
    effective: Arc<LanguagePriorityList>,
}

impl LanguagePreference {
    /// Returns the preference of the stream's request. None if the request has none.
    #[must_use]
    pub fn requested(&self) -> Option<&LanguagePriorityList> {
        self.0.requested.as_deref()
    }

    /// Returns the preference that takes effect.
    #[must_use]
    pub fn effective(&self) -> &LanguagePriorityList {
        &self.0.effective
    }
}

impl Languages {
    /// Creates the languages without any choice. Streams without a preference get `default`.
    #[must_use]
    pub fn new(default: LanguageTag) -> Self {
        Self {
            default: Arc::new(LanguagePriorityList::from_tag(&default)),
            default_language: default,
            choices: HashMap::new(),
            preferences: HashSet::new(),
        }
    }

    /// Returns the language that `user` has chosen.
    #[must_use]
    pub fn chosen(&self, user: &UserId) -> Option<&LanguageTag> {
        self.choices.get(user)?.language.as_ref()
    }

    /// Returns the time of the current choice of `user`.
    #[must_use]
    pub fn chosen_at(&self, user: &UserId) -> Option<Duration> {
        self.choices.get(user).map(|chosen| chosen.chosen_at)
    }

    /// Applies a choice unless a later one of the same user is known. Returns whether it was applied.
    pub fn apply(&mut self, LanguageChoice { user, language, chosen_at }: LanguageChoice) -> bool {
        let is_later =
            self.choices.get(&user).is_none_or(|known| known.is_stale || chosen_at > known.chosen_at);
        if is_later {
            self.choices.insert(user, KnownChoice { language, chosen_at, is_stale: false });
        }
        is_later
    }

    /// Marks all choices as stale, because the store with them is gone.
    ///
    /// A stale choice takes effect until the new store has been read. Any other choice of the same user replaces it, even an older one, and
    /// [`Languages::remove_stale`] removes the rest.
    pub fn mark_stale(&mut self) {
        for chosen in self.choices.values_mut() {
            chosen.is_stale = true;
        }
    }

    /// Removes the choices that are not in the new store. Returns their users.
    pub fn remove_stale(&mut self) -> Vec<UserId> {
        let stale = self.choices.extract_if(|_, chosen| chosen.is_stale);
        stale.map(|(user, _)| user).collect()
    }

    /// Returns the preference of a stream of `user` whose request has the preference `requested`.
    pub fn preference(
        &mut self,
        user: &UserId,
        requested: Option<LanguagePriorityList>,
    ) -> LanguagePreference {
        self.preference_of(user, requested.map(Arc::new))
    }

    /// Updates `preference`, which belongs to a stream of `user`. Returns the most preferred language if it has changed.
    pub fn refresh(&mut self, user: &UserId, preference: &mut LanguagePreference) -> Option<LanguageTag> {
        let before = self.language(preference);
        *preference = self.preference_of(user, preference.0.requested.clone());
        let language = self.language(preference);
        (language != before).then_some(language)
    }

    /// Returns the most preferred language.
    #[must_use]
    pub fn language(&self, preference: &LanguagePreference) -> LanguageTag {
        preference.effective().first().unwrap_or_else(|| self.default_language.clone())
    }

    /// Removes the preferences that no stream has any more.
    pub fn remove_unused(&mut self) {
        self.preferences.retain(|preference| Arc::strong_count(preference) > 1);
        self.preferences.shrink_to(2 * self.preferences.len());
    }

    fn preference_of(
        &mut self,
        user: &UserId,
        requested: Option<Arc<LanguagePriorityList>>,
    ) -> LanguagePreference {
        let effective = match self.chosen(user) {
            Some(chosen) => Arc::new(LanguagePriorityList::from_tag(chosen)),
            None => Arc::clone(requested.as_ref().unwrap_or(&self.default)),
        };
        let preference = PreferredLanguages { requested, effective };
        if let Some(shared) = self.preferences.get(&preference) {
            return LanguagePreference(Arc::clone(shared));
        }
        let preference = Arc::new(preference);
        self.preferences.insert(Arc::clone(&preference));
        LanguagePreference(preference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> LanguageTag {
        LanguageTag::try_new(text).expect("a language tag")
    }

    fn user(name: &str) -> UserId {
        UserId::try_new(name).expect("a user id")
    }

    fn choice(language: Option<&str>, seconds: u64) -> LanguageChoice {
        let chosen_at = Duration::from_secs(seconds);
        LanguageChoice { user: user("a"), language: language.map(tag), chosen_at }
    }

    fn requested(field: &str) -> Option<LanguagePriorityList> {
        LanguagePriorityList::from_accept_language(field)
    }

    #[test]
    fn choice_precedes_request_precedes_default() {
        let mut languages = Languages::new(tag("en"));
        let mut with = languages.preference(&user("a"), requested("fr, it"));
        let mut without = languages.preference(&user("a"), requested("*"));
        let language = |languages: &Languages, preference: &LanguagePreference| {
            languages.language(preference).to_string()
        };
        assert_eq!(language(&languages, &with), "fr");
        assert_eq!(language(&languages, &without), "en");
        assert!(languages.apply(choice(Some("de-AT"), 1)));
        assert_eq!(languages.refresh(&user("a"), &mut with), Some(tag("de-AT")));
        assert_eq!(languages.refresh(&user("a"), &mut without), Some(tag("de-AT")));
        assert_eq!(languages.refresh(&user("a"), &mut without), None, "already up to date");
        assert_eq!(languages.chosen(&user("a")), Some(&tag("de-AT")));
        let new = languages.preference(&user("a"), requested("fr"));
        assert_eq!(language(&languages, &new), "de-AT");
        let other = languages.preference(&user("b"), requested("fr"));
        assert_eq!(language(&languages, &other), "fr", "a choice of another user");
        assert!(languages.apply(choice(None, 2)));
        assert_eq!(languages.refresh(&user("a"), &mut with), Some(tag("fr")));
        assert_eq!(languages.refresh(&user("a"), &mut without), Some(tag("en")));
        assert_eq!(languages.chosen(&user("a")), None);
    }

    #[test]
    fn latest_choice_wins_in_any_order() {
        let choices = [choice(Some("de"), 1), choice(None, 2), choice(Some("fr"), 3), choice(Some("it"), 4)];
        for first in 0..choices.len() {
            for second in 0..choices.len() {
                let mut languages = Languages::new(tag("en"));
                languages.apply(choices[first].clone());
                assert_eq!(languages.apply(choices[second].clone()), second > first);
                let latest = &choices[first.max(second)];
                assert_eq!(languages.chosen(&user("a")), latest.language.as_ref());
                assert_eq!(languages.chosen_at(&user("a")), Some(latest.chosen_at));
            }
        }
    }

    #[test]
    fn stale_choices_are_removed_after_a_reload() {
        let of = |name: &str, language: &str, seconds| LanguageChoice {
            user: user(name),
            ..choice(Some(language), seconds)
        };
        let mut languages = Languages::new(tag("en"));
        for name in ["a", "b", "c"] {
            languages.apply(of(name, "de", 5));
        }
        assert_eq!(languages.remove_stale(), [], "nothing is stale");
        languages.mark_stale();
        let chosen = |languages: &Languages| {
            ["a", "b", "c"].map(|name| languages.chosen(&user(name)).map(ToString::to_string))
        };
        assert_eq!(chosen(&languages), [Some("de".into()), Some("de".into()), Some("de".into())]);
        // A choice in the new store may be older than the stale one.
        assert!(languages.apply(of("a", "fr", 1)));
        assert!(languages.apply(of("b", "de", 5)));
        assert_eq!(languages.remove_stale(), [user("c")]);
        assert_eq!(chosen(&languages), [Some("fr".into()), Some("de".into()), None]);
    }

    #[test]
    fn choice_is_later_than_the_replaced_one() {
        let s = Duration::from_secs;
        assert_eq!(LanguageChoice::time_after(None, s(5)), s(5));
        assert_eq!(LanguageChoice::time_after(Some(s(4)), s(5)), s(5));
        assert!(LanguageChoice::time_after(Some(s(5)), s(5)) > s(5));
        assert!(LanguageChoice::time_after(Some(s(9)), s(5)) > s(9));
    }

    #[test]
    fn equal_preferences_are_shared_until_unused() {
        let mut languages = Languages::new(tag("en"));
        let preferences = ["a", "b"].map(|name| languages.preference(&user(name), requested("de, fr;q=0.5")));
        assert!(preferences[0] == preferences[1]);
        assert!(languages.preference(&user("a"), requested("it")) != preferences[0]);
        assert_eq!(languages.preferences.len(), 2);
        languages.remove_unused();
        assert_eq!(languages.preferences.len(), 1);
        drop(preferences);
        languages.remove_unused();
        assert_eq!((languages.preferences.len(), languages.preferences.capacity()), (0, 0));
    }
}
