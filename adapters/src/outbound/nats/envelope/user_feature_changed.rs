//! The event of changed user features: `{"UserID", "Features": [{"Name", "Value"}]}`.

use domain::{identity::UserId, language::LanguageTag};

use super::{
    Event, InvalidJson, Text, Unreadable, UserChange,
    go_json::{self, Unmarshal},
    lenient::Lenient,
};

/// The event type in the envelope.
pub(super) const TYPE: &str = "events.UserFeatureChanged";
/// The feature that enables or disables the account.
const ACCOUNT_ENABLED: &str = "accountEnabled";
/// The feature that is the language choice.
const PREFERRED_LANGUAGE: &str = "preferredLanguage";

/// Decodes the event. Returns none if no feature in it concerns this service. If a feature occurs twice, the last one counts.
///
/// # Errors
///
/// Returns [`Unreadable`] if the event has another structure or no valid user.
pub(super) fn read(payload: &str) -> Result<Option<Event>, Unreadable> {
    let event: UserFeatureChanged = go_json::read(payload).map_err(Unreadable::Payload)?;
    let known = || event.features.iter().filter_map(Lenient::known);
    let value = |name| known().rfind(|feature| feature.name.0 == name).map(|feature| &feature.value);
    let account = value(ACCOUNT_ENABLED).map(account);
    let language = value(PREFERRED_LANGUAGE).map(language);
    let unreadable = event.features.iter().filter_map(|feature| match feature {
        Lenient::Unreadable(error) => Some(Err(Unreadable::Payload(*error))),
        Lenient::Missing | Lenient::Known(_) => None,
    });
    let changes: Vec<_> = account.into_iter().chain(language).chain(unreadable).collect();
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

/// Returns the change of a language. A missing or empty value withdraws the choice.
fn language(value: &Lenient<Text>) -> Result<UserChange, Unreadable> {
    let language = match value {
        Lenient::Missing => None,
        Lenient::Known(language) if language.0.is_empty() => None,
        Lenient::Known(language) => {
            Some(LanguageTag::try_from_locale(&language.0).map_err(Unreadable::Language)?)
        }
        Lenient::Unreadable(_) => return Err(Unreadable::LanguageType),
    };
    Ok(UserChange::Language(language))
}

#[derive(Default)]
struct UserFeatureChanged<'a> {
    user: Text<'a>,
    features: Vec<Lenient<Feature<'a>>>,
}

impl<'a> Unmarshal<'a> for UserFeatureChanged<'a> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        go_json::read_object(json, &mut [("UserID", &mut self.user), ("Features", &mut self.features)])
    }
}

#[derive(Default)]
struct Feature<'a> {
    name: Text<'a>,
    value: Lenient<Text<'a>>,
}

impl<'a> Unmarshal<'a> for Feature<'a> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        go_json::read_object(json, &mut [("Name", &mut self.name), ("Value", &mut self.value)])
    }
}
