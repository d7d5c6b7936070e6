//! What a user has set: `{"UserID", "Features": [{"Name", "Value"}]}`.

use domain::{identity::UserId, language::LanguageTag};

use super::{
    Event, InvalidJson, Text, Unreadable, UserChange,
    go_json::{self, Unmarshal},
    lenient::Lenient,
};

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

/// No language takes the choice back.
fn language(value: &Lenient<Text>) -> Result<UserChange, Unreadable> {
    let language = match value {
        Lenient::Missing => None,
        Lenient::Known(language) if language.0.is_empty() => None,
        Lenient::Known(language) => {
            Some(LanguageTag::try_from_locale(&language.0).map_err(Unreadable::Language)?)
        }
        Lenient::Unreadable(_) => return Err(Unreadable::NoText),
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
