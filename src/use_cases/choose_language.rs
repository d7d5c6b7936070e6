//! The use case "choose a language": stores and applies the language in which a user reads translated events.

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

/// The language choices of all users, made through this instance, another instance or the platform's settings.
#[derive(Clone)]
pub struct LanguageChoices {
    /// The streams to which the choices apply.
    pub subscriptions: Subscriptions,
    /// The store of the choices.
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
        self.subscriptions.apply_choice(choice);
        Ok(())
    }
}

impl LanguageChoices {
    /// Applies the stored choices and those that other instances store, until the future is dropped.
    pub async fn follow(self) {
        loop {
            match self.preferences.next_update().await {
                StoreUpdate::Entry(choice) => self.subscriptions.apply_choice(choice),
                StoreUpdate::Recreated => self.subscriptions.languages_recreated(),
                StoreUpdate::UpToDate => self.subscriptions.languages_up_to_date(),
                StoreUpdate::Unavailable => self.subscriptions.languages_unavailable(),
            }
        }
    }

    /// Applies and stores a choice that a user has made in the platform's settings.
    pub(super) fn apply_platform_choice(&self, choice: LanguageChoice) {
        debug!("language chosen in the platform's settings");
        self.subscriptions.apply_choice(choice.clone());
        self.preferences.keep(choice);
    }
}
