use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{LanguagePriorityList, LanguageTag};
use crate::identity::UserId;

/// What a user has chosen to read from then on, on every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageChoice {
    /// Who has chosen.
    pub user: UserId,
    /// The language; none for what each device asks for.
    pub language: Option<LanguageTag>,
    /// When the bus was told of it, by the bus's clock: the time since 1970. Of several choices the latest counts.
    pub made: Duration,
}

/// Whose wish counts: what the user has chosen, else what the request for a stream asks for, else the default.
#[derive(Debug)]
pub struct Languages {
    default: Arc<LanguagePriorityList>,
    default_language: LanguageTag,
    choices: HashMap<UserId, Chosen>,
    /// Every list that a stream has, once: requests have few different ones.
    lists: HashSet<Arc<LanguagePriorityList>>,
}

#[derive(Debug)]
struct Chosen {
    language: Option<LanguageTag>,
    made: Duration,
}

/// What is wished on one stream.
#[derive(Clone, Debug)]
pub struct Wish {
    /// By its request, if that says anything.
    requested: Option<Arc<LanguagePriorityList>>,
    /// What counts.
    effective: Arc<LanguagePriorityList>,
}

impl Wish {
    /// What counts. Streams with the same wish share one list.
    #[must_use]
    pub fn effective(&self) -> &Arc<LanguagePriorityList> {
        &self.effective
    }
}

impl Languages {
    /// Nobody has chosen anything yet, and who asks for nothing gets `default`.
    #[must_use]
    pub fn new(default: LanguageTag) -> Self {
        Self {
            default: Arc::new(LanguagePriorityList::of(&default)),
            default_language: default,
            choices: HashMap::new(),
            lists: HashSet::new(),
        }
    }

    /// What `user` has chosen, if anything.
    #[must_use]
    pub fn chosen(&self, user: &UserId) -> Option<&LanguageTag> {
        self.choices.get(user)?.language.as_ref()
    }

    /// Takes note of a choice. One that is not later than what is known changes nothing; the answer is whether it is.
    pub fn learn(&mut self, LanguageChoice { user, language, made }: LanguageChoice) -> bool {
        let later = self.choices.get(&user).is_none_or(|known| made > known.made);
        if later {
            self.choices.insert(user, Chosen { language, made });
        }
        later
    }

    /// What counts on a stream of `user` whose request asks for `requested`.
    pub fn wish(&mut self, user: &UserId, requested: Option<LanguagePriorityList>) -> Wish {
        let requested = requested.map(|list| self.shared(list));
        let effective = self.effective(user, requested.as_ref());
        Wish { requested, effective }
    }

    /// Brings `wish`, of a stream of `user`, up to date. The answer is the language that is wished most, if that is another than
    /// before.
    pub fn renew(&mut self, user: &UserId, wish: &mut Wish) -> Option<LanguageTag> {
        let effective = self.effective(user, wish.requested.as_ref());
        let before = std::mem::replace(&mut wish.effective, effective);
        let language = self.language(wish);
        (language != self.language_of(&before)).then_some(language)
    }

    /// The language that is wished most.
    #[must_use]
    pub fn language(&self, wish: &Wish) -> LanguageTag {
        self.language_of(&wish.effective)
    }

    /// Forgets the lists that no stream has any more.
    pub fn forget(&mut self) {
        self.lists.retain(|list| Arc::strong_count(list) > 1);
        self.lists.shrink_to(2 * self.lists.len());
    }

    fn language_of(&self, list: &LanguagePriorityList) -> LanguageTag {
        list.first().unwrap_or_else(|| self.default_language.clone())
    }

    fn effective(
        &mut self,
        user: &UserId,
        requested: Option<&Arc<LanguagePriorityList>>,
    ) -> Arc<LanguagePriorityList> {
        match self.chosen(user).map(LanguagePriorityList::of) {
            Some(chosen) => self.shared(chosen),
            None => Arc::clone(requested.unwrap_or(&self.default)),
        }
    }

    fn shared(&mut self, list: LanguagePriorityList) -> Arc<LanguagePriorityList> {
        if let Some(shared) = self.lists.get(&list) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(list);
        self.lists.insert(Arc::clone(&shared));
        shared
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

    fn choice(language: Option<&str>, made: u64) -> LanguageChoice {
        LanguageChoice { user: user("a"), language: language.map(tag), made: Duration::from_secs(made) }
    }

    fn asked(field: &str) -> Option<LanguagePriorityList> {
        LanguagePriorityList::from_accept_language(field)
    }

    #[test]
    fn the_users_choice_counts_then_the_request_then_the_default() {
        let mut languages = Languages::new(tag("en"));
        let mut with = languages.wish(&user("a"), asked("fr, it"));
        let mut without = languages.wish(&user("a"), asked("*"));
        let language = |languages: &Languages, wish: &Wish| languages.language(wish).to_string();
        assert_eq!(language(&languages, &with), "fr");
        assert_eq!(language(&languages, &without), "en");
        assert!(languages.learn(choice(Some("de-AT"), 1)));
        assert_eq!(languages.renew(&user("a"), &mut with), Some(tag("de-AT")));
        assert_eq!(languages.renew(&user("a"), &mut without), Some(tag("de-AT")));
        assert_eq!(languages.renew(&user("a"), &mut without), None, "it is that already");
        assert_eq!(languages.chosen(&user("a")), Some(&tag("de-AT")));
        let new = languages.wish(&user("a"), asked("fr"));
        assert_eq!(language(&languages, &new), "de-AT");
        let other = languages.wish(&user("b"), asked("fr"));
        assert_eq!(language(&languages, &other), "fr", "somebody else's choice");
        assert!(languages.learn(choice(None, 2)));
        assert_eq!(languages.renew(&user("a"), &mut with), Some(tag("fr")));
        assert_eq!(languages.renew(&user("a"), &mut without), Some(tag("en")));
        assert_eq!(languages.chosen(&user("a")), None);
    }

    #[test]
    fn the_latest_choice_counts_in_whatever_order_they_are_heard() {
        let choices = [choice(Some("de"), 1), choice(None, 2), choice(Some("fr"), 3), choice(Some("it"), 4)];
        for first in 0..choices.len() {
            for second in 0..choices.len() {
                let mut languages = Languages::new(tag("en"));
                languages.learn(choices[first].clone());
                assert_eq!(languages.learn(choices[second].clone()), second > first);
                let latest = &choices[first.max(second)];
                assert_eq!(languages.chosen(&user("a")), latest.language.as_ref());
            }
        }
    }

    #[test]
    fn streams_with_the_same_wish_share_it_and_the_last_takes_it_along() {
        let mut languages = Languages::new(tag("en"));
        let wishes = ["a", "b"].map(|name| languages.wish(&user(name), asked("de, fr;q=0.5")));
        assert!(Arc::ptr_eq(wishes[0].effective(), wishes[1].effective()));
        languages.wish(&user("a"), asked("it"));
        assert_eq!(languages.lists.len(), 2);
        languages.forget();
        assert_eq!(languages.lists.len(), 1);
        drop(wishes);
        languages.forget();
        assert_eq!((languages.lists.len(), languages.lists.capacity()), (0, 0));
    }
}
