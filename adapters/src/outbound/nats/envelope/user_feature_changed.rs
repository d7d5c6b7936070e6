//! What a user has set: `{"UserID", "Features": [{"Name", "Value"}]}`.

use domain::{identity::UserId, language::LanguageTag};
use serde::Deserialize;

use super::{Event, Text, Unreadable, UserChange, lenient::Lenient};

/// The type in the envelope.
pub(super) const TYPE: &str = "events.UserFeatureChanged";
/// The feature that is whether the account can be used.
const ACCOUNT_ENABLED: &str = "accountEnabled";
/// The feature that is a language.
const PREFERRED_LANGUAGE: &str = "preferredLanguage";

/// Reads the event; `None` when no feature in it matters here. Of a feature that is there twice the last one counts.
///
/// # Errors
///
/// It does not hold what such an event must hold.
pub(super) fn read(payload: &[u8]) -> Result<Option<Event>, Unreadable> {
    let event: UserFeatureChanged =
        serde_json::from_slice(payload).map_err(|error| Unreadable::Payload(error.into()))?;
    let features = event.features.unwrap_or_default();
    let value = |name| features.iter().rfind(|feature| feature.name.0 == name).map(|feature| &feature.value);
    let account = value(ACCOUNT_ENABLED).map(account);
    let language = value(PREFERRED_LANGUAGE).map(language);
    let changes: Vec<_> = account.into_iter().chain(language).collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let user = UserId::try_new(&event.user.0).map_err(Unreadable::User)?;
    Ok(Some(Event::UserChanged { user, changes }))
}

fn account(value: &Lenient<Text>) -> Result<UserChange, Unreadable> {
    match value.known().map(|text| &*text.0) {
        Some("true") => Ok(UserChange::Account { is_enabled: true }),
        Some("false") => Ok(UserChange::Account { is_enabled: false }),
        _ => Err(Unreadable::AccountEnabled),
    }
}

/// No language takes the choice back.
fn language(value: &Lenient<Text>) -> Result<UserChange, Unreadable> {
    let language = match value {
        Lenient::Missing => None,
        Lenient::Known(language) if language.0.is_empty() => None,
        Lenient::Known(language) => Some(LanguageTag::try_new(&language.0).map_err(Unreadable::Language)?),
        Lenient::Unreadable => return Err(Unreadable::NoText),
    };
    Ok(UserChange::Language(language))
}

#[derive(Deserialize)]
struct UserFeatureChanged<'a> {
    #[serde(borrow, rename = "UserID", default)]
    user: Text<'a>,
    #[serde(borrow, rename = "Features")]
    features: Option<Vec<Feature<'a>>>,
}

#[derive(Deserialize)]
struct Feature<'a> {
    #[serde(borrow, rename = "Name", default)]
    name: Text<'a>,
    #[serde(borrow, rename = "Value", default)]
    value: Lenient<Text<'a>>,
}
