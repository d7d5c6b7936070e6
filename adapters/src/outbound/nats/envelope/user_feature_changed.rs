//! What a user has set: `{"UserID", "Features": [{"Name", "Value"}]}`.

use domain::{identity::UserId, language::LanguageTag};
use serde::Deserialize;

use super::{Event, Text, Unreadable, lenient::Lenient};

/// The type in the envelope.
pub(super) const TYPE: &str = "events.UserFeatureChanged";
/// The feature that is a language.
const PREFERRED_LANGUAGE: &str = "preferredLanguage";

/// Reads the event; `None` when it is of something else than a language.
///
/// # Errors
///
/// It does not hold what such an event must hold.
pub(super) fn read(payload: &[u8]) -> Result<Option<Event>, Unreadable> {
    let event: UserFeatureChanged =
        serde_json::from_slice(payload).map_err(|error| Unreadable::Payload(error.into()))?;
    let mut features = event.features.iter().flatten();
    let Some(feature) = features.rfind(|feature| feature.name.0 == PREFERRED_LANGUAGE) else {
        return Ok(None);
    };
    let user = UserId::try_new(&event.user.0).map_err(Unreadable::User)?;
    // No language takes the choice back.
    let language = match &feature.value {
        Lenient::Missing => None,
        Lenient::Known(language) if language.0.is_empty() => None,
        Lenient::Known(language) => Some(LanguageTag::try_new(&language.0).map_err(Unreadable::Language)?),
        Lenient::Unreadable => return Err(Unreadable::NoText),
    };
    Ok(Some(Event::LanguageChosen { user, language }))
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
