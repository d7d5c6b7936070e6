//! The event of a deleted user: `{"UserID"}`.

use domain::identity::UserId;

use super::{
    Event, InvalidJson, Text, Unreadable, UserChange,
    go_json::{self, Unmarshal},
};

/// The event type in the envelope.
pub(super) const TYPE: &str = "events.UserDeleted";
/// The event type of OpenCloud for a deleted user who can still be restored. The account is disabled, but no event of a changed feature
/// follows.
pub(super) const SOFT_TYPE: &str = "events.UserSoftDeleted";

/// Decodes the event.
///
/// # Errors
///
/// Returns [`Unreadable`] if the event has another structure or no valid user.
pub(super) fn read(payload: &str) -> Result<Event, Unreadable> {
    let event: UserDeleted = go_json::read(payload).map_err(Unreadable::Payload)?;
    let user = UserId::try_new(&event.user.0).map_err(Unreadable::User)?;
    Ok(Event::UserChanged { user, changes: vec![Ok(UserChange::Account { is_enabled: false })] })
}

#[derive(Default)]
struct UserDeleted<'a> {
    user: Text<'a>,
}

impl<'a> Unmarshal<'a> for UserDeleted<'a> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        go_json::read_object(json, &mut [("UserID", &mut self.user)])
    }
}
