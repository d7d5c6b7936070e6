//! A user was deleted: `{"UserID"}`.

use domain::identity::UserId;
use serde::Deserialize;

use super::{Event, Text, Unreadable, UserChange};

/// The type in the envelope.
pub(super) const TYPE: &str = "events.UserDeleted";
/// The type of OpenCloud for a user who can still be restored. Until then the account is disabled, and no feature is said to change.
pub(super) const SOFT_TYPE: &str = "events.UserSoftDeleted";

/// Reads the event.
///
/// # Errors
///
/// It does not hold what such an event must hold.
pub(super) fn read(payload: &[u8]) -> Result<Event, Unreadable> {
    let event: UserDeleted =
        serde_json::from_slice(payload).map_err(|error| Unreadable::Payload(error.into()))?;
    let user = UserId::try_new(&event.user.0).map_err(Unreadable::User)?;
    Ok(Event::UserChanged { user, changes: vec![Ok(UserChange::Account { is_enabled: false })] })
}

#[derive(Deserialize)]
struct UserDeleted<'a> {
    #[serde(borrow, rename = "UserID", default)]
    user: Text<'a>,
}
