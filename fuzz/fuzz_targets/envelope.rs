//! The messages of NATS.

#![no_main]

use std::error::Error;

use adapters::outbound::nats::envelope::{Event, Skipped, Unreadable, read};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    content::TranslationIndex,
    identity::UserId,
    notification::{EventId, EventType, Incarnation, Recipients},
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const ID: EventId = EventId { incarnation: Incarnation::of(1), sequence: 1 };
/// The types of messages that the service reads.
const READ_TYPES: [&str; 4] =
    ["events.SendSSE", "events.UserFeatureChanged", "events.UserDeleted", "events.UserSoftDeleted"];
/// A marker for private content of a message.
const PRIVATE: &str = "hunter2";

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = str::from_utf8(data) {
        write_and_read(text);
        // The payload can be arbitrary, because base64 encodes all bytes.
        for event_type in READ_TYPES {
            let message = envelope(event_type, text);
            check(message.as_bytes());
            if let Some(payload) = with_unknown_member(data) {
                agree(message.as_bytes(), envelope(event_type, payload).as_bytes());
            }
        }
    }
    check(data);
    if let Some(message) = with_unknown_member(data) {
        agree(data, &message);
    }
});

/// Adds an unknown member to an object. The fast parser accepts only the platform's format, so the general parser reads
/// the result.
fn with_unknown_member(object: &[u8]) -> Option<Vec<u8>> {
    let members = object.strip_prefix(b"{")?;
    let first: &[u8] =
        if members.trim_ascii_start().starts_with(b"}") { b"{\"Unknown\":[]" } else { b"{\"Unknown\":[]," };
    Some([first, members].concat())
}

/// Checks that both parsers read the same. The fast one reads less of another service's message.
fn agree(message: &[u8], with_unknown_member: &[u8]) {
    match (read(message, ID), read(with_unknown_member, ID)) {
        (Ok(None), _) | (Err(_), Err(_)) => {}
        (faster, other) => assert_eq!(faster, other),
    }
}

fn check(message: &[u8]) {
    let read = read(message, ID);
    if let Ok(whole) = serde_json::from_slice::<Value>(message) {
        let event_type = whole["Metadata"]["eventtype"].as_str();
        let is_read = event_type.is_some_and(|event_type| READ_TYPES.contains(&event_type));
        assert!(is_read || !matches!(read, Ok(Some(_))), "{event_type:?} is of another service");
    }
    match read {
        Ok(Some(Event::Notification { notification, .. })) => {
            assert_eq!(notification.id, ID);
            assert!(!notification.event_type.as_str().contains(['\r', '\n', '\0']));
        }
        Ok(Some(Event::UserChanged { changes, .. })) => {
            assert!(!changes.is_empty(), "nothing has changed");
            changes.into_iter().filter_map(Result::err).for_each(|error| quotes_nothing(&error));
        }
        Ok(None) => {}
        Err(error) => quotes_nothing(&error),
    }
}

fn quotes_nothing(error: &Unreadable) {
    let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    assert!(!texts.iter().any(|text| text.contains(PRIVATE)), "{texts:?}");
}

fn envelope(event_type: &str, payload: impl AsRef<[u8]>) -> String {
    let metadata = json!({ "eventtype": event_type });
    json!({ "Metadata": metadata, "Payload": STANDARD.encode(payload) }).to_string()
}

/// Checks that a published event is read without changes.
fn write_and_read(text: &str) {
    let (event_type, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (user, message) = rest.split_once('\n').unwrap_or((rest, ""));
    let payload = json!({ "UserIDs": [user], "Type": event_type, "Message": STANDARD.encode(message) });
    let read = read(envelope("events.SendSSE", payload.to_string()).as_bytes(), ID);
    let Ok(event_type) = EventType::try_new(event_type) else { return assert!(read.is_err()) };
    let Ok(Some(Event::Notification { notification, skipped, .. })) = read else { panic!("{read:?}") };
    let users = usize::from(UserId::try_new(user).is_err());
    assert_eq!(skipped, Skipped { translations: 0, users });
    assert_eq!(notification.event_type, event_type);
    let expected = match user {
        "all" => Recipients::Everyone,
        user => UserId::try_new(user).into_iter().collect(),
    };
    assert_eq!(notification.recipients, expected);
    assert_eq!(notification.content.text(TranslationIndex::FALLBACK), message);
}
