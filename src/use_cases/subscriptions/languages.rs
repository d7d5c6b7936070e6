//! The languages that are preferred on the streams.

use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguagePriorityList, LanguageTag, Wish},
    log::Note,
};
use ports::inbound::LanguageOf;

use super::{Shared, State, Subscriptions};

impl Subscriptions {
    /// What `user` has chosen, and what counts for a stream whose request asks for `requested`.
    pub(in crate::use_cases) fn language(
        &self,
        user: &UserId,
        requested: Option<LanguagePriorityList>,
    ) -> LanguageOf {
        let languages = &mut self.shared.state.lock().languages;
        let wish = languages.wish(user, requested);
        LanguageOf { chosen: languages.chosen(user).cloned(), effective: languages.language(&wish) }
    }

    /// From the next event on `choice` holds on all streams of its user, unless a later one is known.
    pub(in crate::use_cases) fn learn(&self, choice: LanguageChoice) {
        let shared = &self.shared;
        let user = choice.user.clone();
        let mut state = shared.state.lock();
        let State { log, languages, .. } = &mut *state;
        if !languages.learn(choice) {
            return;
        }
        let Some(mailbox) = log.mailbox(&user) else { return };
        mailbox.each_stream(|stream, _| {
            if languages.renew(&user, &mut stream.wish).is_some() && stream.add_note(Note::Language) {
                shared.wake(&stream.connection);
            }
        });
    }

    /// What was stored has been heard: no stream gets events in a wrong language any more.
    pub(in crate::use_cases) fn know_languages(&self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        state.knows_languages = true;
        self.shared.start_openings(&mut state, now);
    }
}

impl Shared {
    /// The language that is preferred most.
    pub(super) fn language(&self, wish: &Wish) -> LanguageTag {
        wish.effective().first().unwrap_or_else(|| self.default_language.clone())
    }
}
