//! The languages that are preferred on the streams.

use std::time::Duration;

use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguagePreference, LanguagePriorityList, LanguageTag},
    log::Note,
};
use ports::{inbound::UserLanguage, outbound::Bucket};

use super::{Shared, State, Subscriptions};

impl Subscriptions {
    /// What `user` has chosen, and what counts for a stream whose request asks for `requested`.
    pub(in crate::use_cases) fn language(
        &self,
        user: &UserId,
        requested: Option<LanguagePriorityList>,
    ) -> UserLanguage {
        let languages = &mut self.shared.state.lock().languages;
        let preference = languages.preference(user, requested);
        UserLanguage { chosen: languages.chosen(user).cloned(), effective: languages.language(&preference) }
    }

    /// When the present choice of `user` was made, if there is one.
    pub(in crate::use_cases) fn chosen_at(&self, user: &UserId) -> Option<Duration> {
        self.shared.state.lock().languages.chosen_at(user)
    }

    /// From the next event on `choice` holds on all streams of its user, unless a later one is known.
    pub(in crate::use_cases) fn learn(&self, choice: LanguageChoice) {
        let user = choice.user.clone();
        let mut state = self.shared.state.lock();
        if state.languages.apply(choice) {
            self.shared.renew_languages(&mut state, &user);
        }
    }

    /// The store of all choices is gone; what is in the new one is heard next.
    pub(in crate::use_cases) fn languages_recreated(&self) {
        self.shared.state.lock().languages.mark_stale();
    }

    /// What is stored has been heard: no stream gets events in a wrong language any more.
    pub(in crate::use_cases) fn know_languages(&self) {
        self.shared.metrics.bucket_available(Bucket::Languages, true);
        let mut state = self.shared.state.lock();
        for user in state.languages.remove_stale() {
            self.shared.renew_languages(&mut state, &user);
        }
        self.start_with_languages(&mut state);
    }

    /// What is stored cannot be heard at present: new streams do not wait for it.
    pub(in crate::use_cases) fn languages_unavailable(&self) {
        self.shared.metrics.bucket_available(Bucket::Languages, false);
        self.start_with_languages(&mut self.shared.state.lock());
    }

    fn start_with_languages(&self, state: &mut State) {
        state.knows_languages = true;
        self.shared.start_openings(state, self.shared.clock.now());
    }
}

impl Shared {
    /// Brings the language of each stream of `user` up to date.
    fn renew_languages(&self, state: &mut State, user: &UserId) {
        let State { log, languages, .. } = state;
        let Some(mailbox) = log.mailbox(user) else { return };
        mailbox.for_each_stream(|stream, _| {
            if languages.refresh(user, &mut stream.preference).is_some() && stream.add_note(Note::Language) {
                self.wake(&stream.connection);
            }
        });
    }

    /// The language that is preferred most.
    pub(super) fn language(&self, preference: &LanguagePreference) -> LanguageTag {
        preference.effective().first().unwrap_or_else(|| self.default_language.clone())
    }
}
