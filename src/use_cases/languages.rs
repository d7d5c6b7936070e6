//! Users choose which language they read.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguagePriorityList, LanguageTag},
};
use ports::{
    inbound::{ChoiceNotStored, ChooseLanguage, UserLanguage},
    outbound::{LanguagePreferences, NotStored, StoreUpdate},
};
use tracing::debug;

use super::Subscriptions;

/// The users' choices, wherever they are made: here, on another instance, or elsewhere on the platform.
#[derive(Clone)]
pub struct LanguageChoices {
    /// The streams that they hold for.
    pub subscriptions: Subscriptions,
    /// Where they are kept.
    pub preferences: Arc<dyn LanguagePreferences>,
}

#[async_trait]
impl ChooseLanguage for LanguageChoices {
    fn language(&self, user: &UserId, requested: Option<LanguagePriorityList>) -> UserLanguage {
        self.subscriptions.language(user, requested)
    }

    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<(), ChoiceNotStored> {
        let after = self.subscriptions.chosen_at(&user);
        let choice =
            self.preferences.choose(user, language, after).await.map_err(|NotStored| ChoiceNotStored)?;
        self.subscriptions.learn(choice);
        Ok(())
    }
}

impl LanguageChoices {
    /// Takes note of what is stored, and of what other instances store. Runs until it is dropped.
    pub async fn follow(self) {
        loop {
            match self.preferences.next_update().await {
                StoreUpdate::Entry(choice) => self.subscriptions.learn(choice),
                StoreUpdate::Recreated => self.subscriptions.languages_recreated(),
                StoreUpdate::UpToDate => self.subscriptions.know_languages(),
                StoreUpdate::Unavailable => self.subscriptions.languages_unavailable(),
            }
        }
    }

    /// A user has chosen elsewhere on the platform. It holds from the next event on, and is stored for later.
    pub(super) fn chosen_elsewhere(&self, choice: LanguageChoice) {
        debug!("a language was chosen");
        self.subscriptions.learn(choice.clone());
        self.preferences.keep(choice);
    }
}
