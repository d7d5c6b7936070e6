use std::time::Duration;

use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
};

use super::StoreUpdate;

/// The persistent store of the users' language choices, which all instances share.
///
/// `obligations::language_preferences` tests the obligations of an implementation.
#[async_trait]
pub trait LanguagePreferences: Send + Sync {
    /// Stores a choice that `user` makes now. Returns the latest choice in the store, which may be a later one.
    ///
    /// The choice is later than the one that it replaces in the store, and later than `after`, even if a clock was set back.
    ///
    /// # Errors
    ///
    /// Returns [`NotStored`] if the choice cannot be stored within five seconds.
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored>;

    /// Stores a choice that was made elsewhere in the background, unless a later one is stored. It is stored as soon as possible, and lost
    /// only if too many choices wait.
    fn keep(&self, choice: LanguageChoice);

    /// Waits for the next update: first the choices in the store, each at least once, then new ones. The choices of one user are in the
    /// order in which they were stored.
    ///
    /// [`StoreUpdate::UpToDate`] or [`StoreUpdate::Unavailable`] is returned within five seconds after NATS was first reached.
    ///
    /// After [`StoreUpdate::Recreated`] an earlier choice is valid only if it is returned again before [`StoreUpdate::UpToDate`].
    ///
    /// There is one caller at a time.
    ///
    /// Cancellation safe: if a call is dropped before it is ready, no update is lost.
    async fn next_update(&self) -> StoreUpdate<LanguageChoice>;
}

/// The error of a choice that could not be stored. The caller may retry later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the choice cannot be stored at present")]
pub struct NotStored;
