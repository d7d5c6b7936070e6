use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguagePriorityList, LanguageTag},
};

/// The users' choices of a language.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ChooseLanguage: Send + Sync {
    /// Returns what `user` has chosen, and the language of a stream whose request has the preference `requested`.
    fn language(&self, user: &UserId, requested: Option<LanguagePriorityList>) -> UserLanguage;

    /// Sets the language of all streams of `user`, from the next event on. With none, the preference of each stream's request takes effect
    /// again.
    ///
    /// # Errors
    ///
    /// Returns [`ChoiceNotStored`] if the choice could not be stored. Nothing has changed then.
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<(), ChoiceNotStored>;
}

/// The language of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLanguage {
    /// The language that the user has chosen.
    pub chosen: Option<LanguageTag>,
    /// The most preferred language, whether chosen or not.
    pub effective: LanguageTag,
}

/// The error of a choice that could not be stored. The user may retry later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the choice cannot be stored at present")]
pub struct ChoiceNotStored;
