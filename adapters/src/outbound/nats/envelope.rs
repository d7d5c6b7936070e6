//! What the platform's services put on the bus: a go-micro envelope around an event in JSON, with base64 inside base64.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    identity::UserId,
    notification::{EventId, EventType, InvalidEventType, Notification},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_json::value::RawValue;

/// The type of the events that are for us.
const SEND_SSE: &str = "events.SendSSE";

/// Reads a message of the bus; `None` is another service's. Its type is looked at first: another's payload is passed
/// over, not decoded.
///
/// # Errors
///
/// It is no envelope; or it is for us, and does not hold what an event for us must hold.
pub(super) fn read(message: &[u8], id: EventId) -> Result<Option<Event>, Unreadable> {
    let envelope: Envelope = serde_json::from_slice(message).map_err(Unreadable::Envelope)?;
    if envelope.metadata.event_type != SEND_SSE {
        return Ok(None);
    }
    let payload: Cow<str> =
        serde_json::from_str::<Text>(envelope.payload.get()).map_err(Unreadable::Payload)?.0;
    let payload = STANDARD.decode(payload.as_bytes()).map_err(Unreadable::PayloadBase64)?;
    let event: SendSse = serde_json::from_slice(&payload).map_err(Unreadable::Payload)?;
    let content = event.message.map_or(Cow::Borrowed(""), |message| message.0);
    let content = STANDARD.decode(content.as_bytes()).map_err(Unreadable::MessageBase64)?;
    let notification = Notification {
        id,
        recipients: event.user_ids.unwrap_or_default().into_iter().filter_map(|user| user.0).collect(),
        event_type: EventType::try_new(&event.event_type.0).map_err(Unreadable::EventType)?,
        content: String::from_utf8(content)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    };
    Ok(Some(Event { notification, trace_parent: envelope.metadata.trace_parent.into() }))
}

/// An event for us.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) notification: Notification,
    /// The trace that its publisher has begun, empty for none.
    pub(super) trace_parent: Box<str>,
}

/// Why a message cannot be read. What it contains stays out of it: it may be private.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is no go-micro envelope")]
    Envelope(#[source] serde_json::Error),
    #[error("the payload is no SendSSE event")]
    Payload(#[source] serde_json::Error),
    #[error("the payload is no base64")]
    PayloadBase64(#[source] base64::DecodeError),
    #[error("the message is no base64")]
    MessageBase64(#[source] base64::DecodeError),
    #[error("the event type cannot be written on a stream")]
    EventType(#[source] InvalidEventType),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "Metadata")]
    metadata: Metadata<'a>,
    #[serde(borrow, rename = "Payload")]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, rename = "eventtype")]
    event_type: Cow<'a, str>,
    #[serde(borrow, rename = "traceparent", default)]
    trace_parent: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SendSse<'a> {
    #[serde(rename = "UserIDs")]
    user_ids: Option<Vec<Recipient>>,
    #[serde(borrow, rename = "Type", default)]
    event_type: Text<'a>,
    #[serde(borrow, rename = "Message")]
    message: Option<Text<'a>>,
}

/// A text that is borrowed from the message where it has no escapes.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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

#[cfg(test)]
mod tests {
    use domain::notification::Incarnation;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const ID: EventId = EventId { incarnation: Incarnation(1), sequence: 1 };

    /// The captured messages of a file, each with the name or type it was captured under.
    fn captured(file: &str) -> Vec<(String, String)> {
        let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        lines
            .map(|line| {
                let name = text(&line["name"]).or_else(|| text(&line["type"])).expect("a name");
                (name, text(&line["data"]).expect("data"))
            })
            .collect()
    }

    fn envelope(event_type: &str, payload: &str) -> String {
        json!({ "ID": "1", "Metadata": { "eventtype": event_type }, "Payload": STANDARD.encode(payload) })
            .to_string()
    }

    #[test]
    fn the_captured_messages_are_read() {
        let one = "4c510ada-c86b-4815-8820-42cdf82c3d51";
        let two = "f7fbf8c8-139b-4376-b307-cf0a8c2d0d9c";
        let messages = captured(include_str!("../../../../tests/wire/main-queue.jsonl"));
        let mut messages = messages.iter();
        let mut check = |name: &str, expected: Option<(&[&str], &str, &str)>| {
            let (captured_name, message) = messages.next().expect("one more message");
            assert_eq!(captured_name, name);
            let expected = expected.map(|(users, event_type, content)| Notification {
                id: ID,
                recipients: users.iter().map(|user| UserId::try_new(user).expect("a user id")).collect(),
                event_type: EventType::try_new(event_type).expect("an event type"),
                content: content.into(),
            });
            let read = read(message.as_bytes(), ID).expect("readable");
            assert_eq!(read.map(|event| event.notification), expected, "{name}");
        };
        let shared = r#"{"notification_id":"f4f1","app":"userlog","user":"einstein","subject":"Resource shared","message":"Albert shared Résumé ✓ with you"}"#;
        check("send-sse-one-user", Some((&[one], "userlog-notification", shared)));
        let finished = r#"{"itemid":"s$a!b","parentitemid":"s$a!a","spaceid":"s$a","initiatorid":"init-1","etag":"\"x\"","affecteduserids":null}"#;
        check("send-sse-two-users", Some((&[one, two], "postprocessing-finished", finished)));
        let lines = "line one\nline two\r\nline three\rline four";
        check("send-sse-line-breaks", Some((&[one], "multi", lines)));
        check("send-sse-null-users", Some((&[], "nobody", "{}")));
        check("send-sse-null-message", Some((&[one], "empty", "")));
        check("other-user-created", None);
        check("other-backchannel-logout", None);
        check("other-share-created", None);
        assert!(messages.next().is_none());
    }

    #[test]
    fn of_a_whole_session_just_the_events_for_us_are_read() {
        for (event_type, message) in captured(include_str!("../../../../tests/wire/session.jsonl")) {
            let read = read(message.as_bytes(), ID).expect("readable");
            assert_eq!(read.is_some(), event_type == SEND_SSE, "{event_type}");
        }
    }

    #[test]
    fn what_is_lenient_and_what_is_not() {
        let check = |message: String, expected: Result<Option<(usize, &str, &str)>, &str>| {
            let read = read(message.as_bytes(), ID);
            let read = read.as_ref().map(|read| {
                read.as_ref().map(|Event { notification: read, .. }| {
                    (read.recipients.len(), read.event_type.as_str(), &*read.content)
                })
            });
            assert_eq!(read.map_err(ToString::to_string), expected.map_err(Into::into), "{message}");
        };
        let ours = |payload: &str| envelope(SEND_SSE, payload);
        check(ours(r#"{"UserIDs":["a"],"Type":"t","Message":"aGk="}"#), Ok(Some((1, "t", "hi"))));
        check(ours(r#"{"UserIDs":["a",""],"Type":"t","Further":[1]}"#), Ok(Some((1, "t", ""))));
        check(ours("{}"), Ok(Some((0, "", ""))));
        check(ours(r#"{"Type":"t","Message":"/w=="}"#), Ok(Some((0, "t", "\u{fffd}"))));
        check(ours(r#"{"Type":"a\u002db"}"#), Ok(Some((0, "a-b", ""))));
        check(ours(r#"{"Type":"a\nb"}"#), Err("the event type cannot be written on a stream"));
        check(ours(r#"{"Message":"?"}"#), Err("the message is no base64"));
        check(ours(r#"{"UserIDs":"a"}"#), Err("the payload is no SendSSE event"));
        check(ours("[]"), Err("the payload is no SendSSE event"));
        check(ours("no JSON"), Err("the payload is no SendSSE event"));
        check(envelope("events.Other", "no JSON"), Ok(None));
        check(json!({ "Metadata": { "eventtype": "events.Other" }, "Payload": 7 }).to_string(), Ok(None));
        check(
            json!({ "Metadata": { "eventtype": SEND_SSE }, "Payload": "?" }).to_string(),
            Err("the payload is no base64"),
        );
        check(
            json!({ "Metadata": { "eventtype": SEND_SSE }, "Payload": null }).to_string(),
            Err("the payload is no SendSSE event"),
        );
        check("{}".into(), Err("it is no go-micro envelope"));
        check("hello".into(), Err("it is no go-micro envelope"));
        check(String::new(), Err("it is no go-micro envelope"));
    }

    proptest! {
        #[test]
        fn no_bytes_do_any_harm(bytes in any::<Vec<u8>>()) {
            prop_assert!(read(&bytes, ID).is_err());
        }

        #[test]
        fn a_damaged_message_does_no_harm(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let messages = captured(include_str!("../../../../tests/wire/main-queue.jsonl"));
            let mut message = messages[0].1.clone().into_bytes();
            let position = position.index(message.len());
            message[position] = byte;
            let _ = read(&message, ID);
        }
    }
}
