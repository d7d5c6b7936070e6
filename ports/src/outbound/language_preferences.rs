use std::time::Duration;

use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
};

use super::StoreUpdate;

/// Which languages users have chosen, kept beyond the end of this instance and shared with the others.
///
/// What implementations are obliged to is tested by `obligations::language_preferences`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LanguagePreferences: Send + Sync {
    /// Stores what `user` chooses now, and returns when it is stored: with what counts now, which may be a still later
    /// choice. The choice is later than the one that it replaces in the store, and later than `after`, whatever the clock says.
    ///
    /// # Errors
    ///
    /// It cannot be stored at present. It is tried for five seconds at most.
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored>;

    /// Stores a choice that was made elsewhere, unless a later one is stored. Nobody waits for it: it is stored as soon as it can
    /// be, and lost only when too many wait.
    fn keep(&self, choice: LanguageChoice);

    /// Returns what is stored, each user's choice once or more often, then what changes, those of one user in the order in which they
    /// were stored. It waits for as long as there is nothing. Within five seconds after NATS was reached for the first time it has
    /// returned [`StoreUpdate::UpToDate`] or [`StoreUpdate::Unavailable`].
    ///
    /// After [`StoreUpdate::Recreated`], of what was heard before only that holds which is heard again before [`StoreUpdate::UpToDate`].
    ///
    /// To be called by one listener at a time. A call that is dropped before it is ready loses nothing.
    async fn next_update(&self) -> StoreUpdate<LanguageChoice>;
}

/// A choice could not be stored; it may be tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the choice cannot be stored at present")]
pub struct NotStored;
