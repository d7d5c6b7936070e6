//! An event for users' streams: `{"UserIDs", "Type", "Message", "Language", "Messages"}`, of which services that know of no
//! languages look at the first three.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    content::{Content, Translation},
    identity::UserId,
    language::LanguageTag,
    notification::{EventId, EventType, Notification, Recipients},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use super::{InvalidBase64, Text, Unreadable, lenient::Lenient};

/// The type in the envelope.
pub(super) const TYPE: &str = "events.SendSSE";
/// The name of all users together (OpenCloud). It may be the id of one of them.
const EVERYONE: &str = "all";

/// Reads the event, and how many of its translations could not be read.
///
/// # Errors
///
/// It does not hold what such an event must hold.
pub(super) fn read(payload: &[u8], id: EventId) -> Result<(Notification, usize), Unreadable> {
    let event: SendSse =
        serde_json::from_slice(payload).map_err(|error| Unreadable::Payload(error.into()))?;
    let (content, unreadable) = event.content()?;
    let users: Vec<_> = event.user_ids.unwrap_or_default().into_iter().filter_map(|user| user.0).collect();
    let is_for_everyone = users.iter().any(|user| user.as_str() == EVERYONE);
    let recipients = if is_for_everyone { Recipients::Everyone } else { Recipients::Users(users) };
    let event_type = EventType::try_new(&event.event_type.0).map_err(Unreadable::EventType)?;
    Ok((Notification { id, recipients, event_type, content }, unreadable))
}

#[derive(Deserialize)]
struct SendSse<'a> {
    #[serde(rename = "UserIDs")]
    user_ids: Option<Vec<Recipient>>,
    #[serde(borrow, rename = "Type", default)]
    event_type: Text<'a>,
    #[serde(borrow, rename = "Message")]
    message: Option<Text<'a>>,
    /// The language of the message.
    #[serde(borrow, rename = "Language", default)]
    language: Lenient<Text<'a>>,
    /// The same message in other languages.
    #[serde(borrow, rename = "Messages", default)]
    messages: Lenient<BTreeMap<Text<'a>, Lenient<Text<'a>>>>,
}

impl SendSse<'_> {
    /// The message, and its translations as far as they can be read; and how many could not.
    ///
    /// # Errors
    ///
    /// There is a message that cannot be read, and nothing else.
    fn content(&self) -> Result<(Content, usize), Unreadable> {
        let mut unreadable = usize::from(self.messages.is_unreadable());
        let mut translations = Vec::new();
        for (language, text) in self.messages.known().into_iter().flatten() {
            let language = LanguageTag::try_new(&language.0).ok();
            let text = text.known().and_then(|text| decode(&text.0).ok());
            match language.zip(text) {
                Some((language, text)) => translations.push(Translation { language, text }),
                None => unreadable += 1,
            }
        }
        let language = match self.language.known().map(|tag| &*tag.0) {
            None | Some("") => None,
            Some(tag) => LanguageTag::try_new(tag).inspect_err(|_| unreadable += 1).ok(),
        };
        unreadable += usize::from(self.language.is_unreadable());
        let fallback = match self.message.as_ref().map(|message| decode(&message.0)).transpose() {
            Err(error) if translations.is_empty() => return Err(Unreadable::MessageBase64(error)),
            fallback => fallback.inspect_err(|_| unreadable += 1).ok().flatten(),
        };
        Ok((Content::new(fallback, language, translations), unreadable))
    }
}

fn decode(base64: &str) -> Result<String, InvalidBase64> {
    let bytes = STANDARD.decode(base64)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// A user; nobody when it is a text that can be no user's id. Made without a copy in between.
struct Recipient(Option<UserId>);

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromText;

        impl Visitor<'_> for FromText {
            type Value = Recipient;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Recipient, E> {
                Ok(Recipient(UserId::try_new(text).ok()))
            }
        }

        deserializer.deserialize_str(FromText)
    }
}
