//! The languages of users and streams.

use std::time::Duration;

use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguagePreference, LanguagePriorityList, LanguageTag},
    log::Note,
};
use ports::{inbound::UserLanguage, outbound::Bucket};

use super::{Shared, State, Subscriptions};

impl Subscriptions {
    /// Returns the choice of `user`, and the language that a stream gets whose request accepts `requested`.
    pub(in crate::use_cases) fn language(
        &self,
        user: &UserId,
        requested: Option<LanguagePriorityList>,
    ) -> UserLanguage {
        let languages = &mut self.shared.state.lock().languages;
        let preference = languages.preference(user, requested);
        UserLanguage { chosen: languages.chosen(user).cloned(), effective: languages.language(&preference) }
    }

    /// Returns when `user` made the current choice, as time since 1970. None without a choice.
    pub(in crate::use_cases) fn chosen_at(&self, user: &UserId) -> Option<Duration> {
        self.shared.state.lock().languages.chosen_at(user)
    }

    /// Applies `choice` to all streams of its user from the next event on, unless a later choice is known.
    pub(in crate::use_cases) fn apply_choice(&self, choice: LanguageChoice) {
        let user = choice.user.clone();
        let mut state = self.shared.state.lock();
        if state.languages.apply(choice) {
            self.shared.refresh_languages(&mut state, &user);
        }
    }

    /// Records that the store of choices was recreated. Its entries follow; choices that are not among them are removed afterwards.
    pub(in crate::use_cases) fn languages_recreated(&self) {
        self.shared.state.lock().languages.mark_stale();
    }

    /// Records that all stored choices were read: choices that are no longer stored are removed, and pending streams start.
    pub(in crate::use_cases) fn languages_up_to_date(&self) {
        self.shared.metrics.bucket_available(Bucket::Languages, true);
        let mut state = self.shared.state.lock();
        for user in state.languages.remove_stale() {
            self.shared.refresh_languages(&mut state, &user);
        }
        self.languages_settled(&mut state);
    }

    /// Records that the stored choices cannot be read at present. New streams do not wait for them.
    pub(in crate::use_cases) fn languages_unavailable(&self) {
        self.shared.metrics.bucket_available(Bucket::Languages, false);
        self.languages_settled(&mut self.shared.state.lock());
    }

    /// Starts the streams that wait for language choices.
    fn languages_settled(&self, state: &mut State) {
        state.languages_loaded = true;
        self.shared.start_pending(state, self.shared.clock.now());
    }
}

impl Shared {
    /// Updates the language preference of each stream of `user`.
    fn refresh_languages(&self, state: &mut State, user: &UserId) {
        let State { log, languages, .. } = state;
        let Some(mailbox) = log.mailbox(user) else { return };
        mailbox.for_each_stream(|stream, _| {
            if languages.refresh(user, &mut stream.preference).is_some() && stream.add_note(Note::Language) {
                self.wake(&stream.connection);
            }
        });
    }

    /// Returns the first language of `preference`, or the default language.
    pub(super) fn language(&self, preference: &LanguagePreference) -> LanguageTag {
        preference.effective().first().unwrap_or_else(|| self.default_language.clone())
    }
}
