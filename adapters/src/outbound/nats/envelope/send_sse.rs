//! The event for users: `{"UserIDs", "Type", "Message", "Language", "Messages"}`. Services without translations read the first three
//! members.

use std::{collections::BTreeMap, fmt};

use domain::{
    content::{Content, Translation, TranslationIndex},
    identity::{SessionId, UserId},
    language::LanguageTag,
    notification::{EventId, EventType, Notification, Recipients},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use super::{
    InvalidJson, Skipped, Text, Unreadable,
    bytes::Bytes,
    go_json::{self, LossyText, Object, Unmarshal},
    lenient::Lenient,
};

/// The event type in the envelope.
pub(super) const TYPE: &str = "events.SendSSE";
/// The recipient that means all users (OpenCloud).
const EVERYONE: &str = "all";

/// Decodes the event.
///
/// # Errors
///
/// Returns [`Unreadable`] if the event has another structure, or no readable message or event type.
pub(super) fn read(payload: &[u8], id: EventId) -> Result<(Notification, Skipped), Unreadable> {
    let text;
    let event: SendSse = if let Ok(Object(event)) = serde_json::from_slice(payload) {
        event
    } else {
        text = go_json::text(payload);
        go_json::read(&text).map_err(Unreadable::Payload)?
    };
    let (content, translations) = content(event.message, &event.language, event.messages)?;
    let event_type = EventType::try_new(&event.event_type.0).map_err(Unreadable::EventType)?;
    let listed = event.users.len();
    let mut users: Vec<_> = event.users.into_iter().filter_map(Recipient::user).collect();
    let skipped_users = listed - users.len() + usize::from(matches!(event.user, Recipient::Invalid));
    users.extend(event.user.user());
    let is_for_everyone = users.iter().any(|user| user.as_str() == EVERYONE);
    let recipients = if is_for_everyone { Recipients::Everyone } else { Recipients::Users(users) };
    let mut notification = Notification { id, recipients, event_type, content, session_id: None };
    if notification.logout().is_some() {
        notification.session_id = session_id(notification.content.text(TranslationIndex::FALLBACK));
    }
    Ok((notification, Skipped { translations, users: skipped_users }))
}

/// Returns the session that a logout names in its text.
fn session_id(text: &str) -> Option<Box<SessionId>> {
    #[derive(Deserialize)]
    struct EndedSession {
        sessionid: String,
    }
    let EndedSession { sessionid } = serde_json::from_str(text).ok()?;
    SessionId::of(&sessionid).map(Box::new)
}

/// The members of the event. The derived reader accepts what current services write. It rejects everything that Go may read differently,
/// such as a name in another case.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SendSse<'a> {
    #[serde(rename = "UserIDs")]
    users: Vec<Recipient>,
    /// The only recipient, in an event of Infinite Scale 4.
    #[serde(rename = "UserID")]
    user: Recipient,
    #[serde(borrow, rename = "Type")]
    event_type: Text<'a>,
    #[serde(rename = "Message")]
    message: Bytes,
    /// The language of the message.
    #[serde(borrow, rename = "Language")]
    language: Lenient<Text<'a>>,
    /// The same message in other languages.
    #[serde(borrow, rename = "Messages")]
    messages: Lenient<Translations<'a>>,
}

type Translations<'a> = BTreeMap<Text<'a>, Lenient<Bytes>>;

impl<'a> Unmarshal<'a> for SendSse<'a> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        let members: &mut [(_, &mut dyn Unmarshal<'a>)] = &mut [
            ("UserIDs", &mut self.users),
            ("UserID", &mut self.user),
            ("Type", &mut self.event_type),
            ("Message", &mut self.message),
            ("Language", &mut self.language),
            ("Messages", &mut self.messages),
        ];
        go_json::read_object(json, members)
    }
}

/// Returns the content with its readable translations, and the number of unreadable ones.
///
/// # Errors
///
/// Returns [`Unreadable::MessageBase64`] if the message is unreadable and there is no translation.
fn content(
    message: Bytes,
    language: &Lenient<Text<'_>>,
    messages: Lenient<Translations<'_>>,
) -> Result<(Content, usize), Unreadable> {
    let mut unreadable = 0;
    let messages = match messages {
        Lenient::Known(messages) => messages,
        Lenient::Missing => Translations::default(),
        Lenient::Unreadable(_) => {
            unreadable += 1;
            Translations::default()
        }
    };
    let mut translations = Vec::new();
    for (language, text) in messages {
        match (LanguageTag::try_from_locale(&language.0), text) {
            (Ok(language), Lenient::Known(Bytes::Known(text))) => {
                translations.push(Translation { language, text: string(text) });
            }
            _ => unreadable += 1,
        }
    }
    let language = match language {
        Lenient::Known(tag) if !tag.0.is_empty() => {
            LanguageTag::try_from_locale(&tag.0).inspect_err(|_| unreadable += 1).ok()
        }
        Lenient::Known(_) | Lenient::Missing => None,
        Lenient::Unreadable(_) => {
            unreadable += 1;
            None
        }
    };
    let fallback = match message {
        Bytes::Missing => None,
        Bytes::Known(text) => Some(string(text)),
        Bytes::Invalid(error) if translations.is_empty() => return Err(Unreadable::MessageBase64(error)),
        Bytes::Invalid(_) => {
            unreadable += 1;
            None
        }
    };
    Ok((Content::new(fallback, language, translations), unreadable))
}

fn string(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A recipient of an event. It is read without an intermediate copy.
#[derive(Default)]
enum Recipient {
    /// The value is missing or empty, which Go does not distinguish.
    #[default]
    Missing,
    User(UserId),
    /// The value is not a valid user id.
    Invalid,
}

impl Recipient {
    fn from_text(text: &str) -> Self {
        match UserId::try_new(text) {
            Ok(user) => Self::User(user),
            Err(_) if text.is_empty() => Self::Missing,
            Err(_) => Self::Invalid,
        }
    }

    fn user(self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Missing | Self::Invalid => None,
        }
    }
}

impl<'a> Unmarshal<'a> for Recipient {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        match serde_json::from_str(json) {
            Ok(None) => {}
            Ok(Some(LossyText(text))) => *self = Self::from_text(&text),
            // The other recipients still get the event.
            Err(_) => *self = Self::Invalid,
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromText;

        impl Visitor<'_> for FromText {
            type Value = Recipient;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Recipient, E> {
                Ok(Recipient::from_text(text))
            }
        }

        deserializer.deserialize_str(FromText)
    }
}
