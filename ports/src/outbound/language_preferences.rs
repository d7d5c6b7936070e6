use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
};

/// Which languages users have chosen, kept beyond the end of this instance and shared with the others.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LanguagePreferences: Send + Sync {
    /// Stores what `user` chooses now, and comes back when it is stored: with what counts now, which may be a still later
    /// choice.
    ///
    /// # Errors
    ///
    /// It cannot be stored at present. It is tried for five seconds at most.
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<LanguageChoice, NotStored>;

    /// Stores a choice that was made elsewhere, unless a later one is stored. Nobody waits for it: it is stored as soon as it can
    /// be, and lost only when too many wait.
    fn keep(&self, choice: LanguageChoice);

    /// What is stored, each user's choice once or more often, then what changes. It waits for as long as there is nothing.
    ///
    /// To be called by one listener at a time. A call that is dropped before it is ready loses nothing.
    async fn hear(&self) -> HeardLanguage;
}

/// What there is to hear of languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeardLanguage {
    /// A user has chosen.
    Choice(LanguageChoice),
    /// What was stored has all been heard, or cannot be. It is said once, and soon when the store can be reached.
    UpToDate,
}

/// A choice could not be stored; it may be tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the choice cannot be stored at present")]
pub struct NotStored;
