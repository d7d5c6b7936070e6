//! Which language is read on the streams.

use domain::{
    content::{Content, Version},
    fanout::StreamId,
    identity::UserId,
    language::{LanguageChoice, LanguagePriorityList},
};
use ports::{inbound::LanguageOf, outbound::Offer};

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
        let now = shared.clock.now();
        let user = choice.user.clone();
        let mut state = shared.state.lock();
        let State { fanout, languages, untold, .. } = &mut *state;
        if !languages.learn(choice) {
            return;
        }
        for member in fanout.members_of(&user) {
            if let Some(language) = languages.renew(&user, &mut member.wish) {
                // Who has no room for it now is told by the sweep.
                if member.stream.offer(&shared.frames.language(&language), now) == Offer::Accepted {
                    untold.remove(&member.id());
                } else {
                    untold.insert(member.id());
                }
            }
        }
    }

    /// What was stored has been heard: nobody is served in a wrong language any more.
    pub(in crate::use_cases) fn know_languages(&self) {
        self.shared.state.lock().knows_languages = true;
        self.shared.moved.notify_waiters();
    }
}

impl Shared {
    /// The version that is read on the stream `id` of `user` at present.
    pub(super) fn version(&self, content: &Content, user: &UserId, id: StreamId) -> Version {
        if content.versions() == 1 {
            return Version::FALLBACK;
        }
        let mut state = self.state.lock();
        let member = state.fanout.member(user, id);
        member.map_or(Version::FALLBACK, |member| content.lookup(member.wish.effective()))
    }
}
