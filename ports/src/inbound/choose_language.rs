use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguagePriorityList, LanguageTag},
};

use crate::outbound::NotStored;

/// Lets users choose which language they read.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ChooseLanguage: Send + Sync {
    /// What `user` has chosen, and what counts for a stream whose request asks for `requested`.
    fn language(&self, user: &UserId, requested: Option<LanguagePriorityList>) -> UserLanguage;

    /// From the next event on `user` reads `language` on every stream, the open ones included; or, with none, what each
    /// stream's request asks for.
    ///
    /// # Errors
    ///
    /// It could not be stored, and nothing has changed.
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<(), NotStored>;
}

/// Which language somebody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLanguage {
    /// The one that the user has chosen.
    pub chosen: Option<LanguageTag>,
    /// The one that is wished most, chosen or not.
    pub effective: LanguageTag,
}
