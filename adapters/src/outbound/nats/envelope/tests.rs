mod as_go;
mod private;
mod users;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    content::{Content, Translation, TranslationIndex},
    identity::SessionId,
    notification::{EventType, Incarnation, Recipients},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

const ID: EventId = EventId { incarnation: Incarnation::of(1), sequence: 1 };

/// Returns the captured messages of a file, each with its name or event type.
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

fn notification(event: &Event) -> &Notification {
    match event {
        Event::Notification { notification, .. } => notification,
        Event::UserChanged { .. } => panic!("{event:?}"),
    }
}

fn envelope(event_type: &str, payload: impl AsRef<[u8]>) -> String {
    json!({ "ID": "1", "Metadata": { "eventtype": event_type }, "Payload": STANDARD.encode(payload) })
        .to_string()
}

#[test]
fn captured_messages_are_decoded() {
    let one = "4c510ada-c86b-4815-8820-42cdf82c3d51";
    let two = "f7fbf8c8-139b-4376-b307-cf0a8c2d0d9c";
    let messages = captured(include_str!("../../../../../tests/wire/main-queue.jsonl"));
    let mut messages = messages.iter();
    let mut check = |name: &str, expected: Option<(&[&str], &str, &str)>| {
        let (captured_name, message) = messages.next().expect("one more message");
        assert_eq!(captured_name, name);
        let expected = expected.map(|(users, event_type, content)| Notification {
            id: ID,
            recipients: users.iter().map(|user| UserId::try_new(user).expect("a user id")).collect(),
            event_type: EventType::try_new(event_type).expect("an event type"),
            content: content.into(),
            session_id: None,
        });
        let read = read(message.as_bytes(), ID).expect("readable");
        assert_eq!(read.as_ref().map(notification).cloned(), expected, "{name}");
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
fn only_events_for_this_service_are_decoded() {
    for (event_type, message) in captured(include_str!("../../../../../tests/wire/session.jsonl")) {
        let read = read(message.as_bytes(), ID).expect("readable");
        let expected = [send_sse::TYPE, user_feature_changed::TYPE].contains(&&*event_type);
        assert_eq!(read.is_some(), expected, "{event_type}");
    }
}

#[test]
fn only_valid_messages_are_decoded() {
    let check = |message: String, expected: Result<Option<(usize, &str, &str)>, &str>| {
        let read = read(message.as_bytes(), ID);
        let read = read.as_ref().map(|read| {
            read.as_ref().map(|event| {
                let read = notification(event);
                let Recipients::Users(users) = &read.recipients else { panic!("for everyone: {message}") };
                (users.len(), read.event_type.as_str(), read.content.text(TranslationIndex::FALLBACK))
            })
        });
        assert_eq!(read.map_err(ToString::to_string), expected.map_err(Into::into), "{message}");
    };
    let with_payload = |payload: &str| envelope(send_sse::TYPE, payload);
    check(with_payload(r#"{"UserIDs":["a"],"Type":"t","Message":"aGk="}"#), Ok(Some((1, "t", "hi"))));
    check(with_payload(r#"{"UserIDs":["a",""],"Type":"t","Further":[1]}"#), Ok(Some((1, "t", ""))));
    check(with_payload("{}"), Ok(Some((0, "", ""))));
    check(with_payload(r#"{"Type":"t","Message":"/w=="}"#), Ok(Some((0, "t", "\u{fffd}"))));
    check(with_payload(r#"{"Type":"a\u002db"}"#), Ok(Some((0, "a-b", ""))));
    check(with_payload(r#"{"Type":"a\nb"}"#), Err("invalid event type"));
    check(with_payload(r#"{"Message":"?"}"#), Err("the message is not base64"));
    check(with_payload(r#"{"UserIDs":"a"}"#), Err("the payload does not match the event type"));
    check(with_payload("[]"), Err("the payload does not match the event type"));
    check(with_payload("no JSON"), Err("the payload does not match the event type"));
    check(envelope("events.Other", "no JSON"), Ok(None));
    check(json!({ "Metadata": { "eventtype": "events.Other" }, "Payload": 7 }).to_string(), Ok(None));
    check(r#"{"Metadata":{"eventtype":"events.Other"},"Payload":"not wh"#.into(), Ok(None));
    check(
        r#"{"Metadata":{"eventtype":"events.SendSSE"},"Payload":"e30="#.into(),
        Err("not a go-micro envelope"),
    );
    check(r#"{"Payload":"e30=","Metadata":{"eventtype":"events.SendSSE"}}"#.into(), Ok(Some((0, "", ""))));
    check(
        r#"{"Payload":"\u0065\u00330=","Metadata":{"eventtype":"events.SendSSE"}}"#.into(),
        Ok(Some((0, "", ""))),
    );
    check(
        json!({ "Metadata": { "eventtype": send_sse::TYPE }, "Payload": "?" }).to_string(),
        Err("the payload is not base64"),
    );
    check(
        json!({ "Metadata": { "eventtype": send_sse::TYPE }, "Payload": null }).to_string(),
        Err("the payload does not match the event type"),
    );
    check("{}".into(), Err("not a go-micro envelope"));
    check("hello".into(), Err("not a go-micro envelope"));
    check(String::new(), Err("not a go-micro envelope"));
}

/// The event as a service without translations reads it. It ignores unknown members, as Go does.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WithoutTranslations {
    #[serde(rename = "UserIDs")]
    user_ids: Vec<String>,
    r#type: String,
    message: String,
}

#[test]
fn services_without_translations_read_the_same() {
    let first = |file: &str| captured(file).remove(0).1;
    let plain = first(include_str!("../../../../../tests/wire/main-queue.jsonl"));
    let in_languages = first(include_str!("../../../../../tests/wire/in-languages.jsonl"));
    let [expected, translated] = [&plain, &in_languages].map(|message| {
        let envelope = Envelope::read(message.as_bytes()).expect("an envelope").expect("for this service");
        serde_json::from_slice::<WithoutTranslations>(&envelope.payload).expect("SendSSE")
    });
    assert_eq!(translated, expected);

    let [plain, in_languages] =
        [plain, in_languages].map(|message| read(message.as_bytes(), ID).expect("readable"));
    let [plain, in_languages] =
        [&plain, &in_languages].map(|event| notification(event.as_ref().expect("for this service")));
    assert_eq!(in_languages.recipients, plain.recipients);
    let text_for = |accepted: &str| {
        let accepted =
            domain::language::LanguagePriorityList::from_accept_language(accepted).expect("languages");
        in_languages.content.text(in_languages.content.lookup(&accepted))
    };
    assert_eq!(text_for("en"), plain.content.text(TranslationIndex::FALLBACK));
    assert_eq!(text_for("it"), plain.content.text(TranslationIndex::FALLBACK));
    assert!(text_for("de-AT").contains("Albert hat Résumé ✓ mit Ihnen geteilt"));
    assert!(text_for("fr-CA").contains("Albert a partagé Résumé ✓ avec vous"));
}

/// The fallback, its language, the translations, and the number of unreadable ones.
struct Expected(Option<&'static str>, Option<&'static str>, &'static [(&'static str, &'static str)], usize);

#[test]
fn unreadable_translations_are_skipped() {
    let text = |text: &str| STANDARD.encode(text);
    let tag = |tag: &str| LanguageTag::try_new(tag).expect("a language tag");
    let check = |fallback: Option<&str>, further: Value, expected: Expected| {
        let mut event = json!({ "Message": fallback.map(text) });
        event.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
        let Expected(fallback, language, translations, expected_unreadable) = expected;
        let translations = translations
            .iter()
            .map(|(language, text)| Translation { language: tag(language), text: (*text).into() })
            .collect();
        let expected = Content::new(fallback.map(Into::into), language.map(tag), translations);
        let read = read(envelope(send_sse::TYPE, event.to_string()).as_bytes(), ID).expect("readable");
        let Some(Event::Notification { notification, skipped, .. }) = read else {
            panic!("not a notification")
        };
        let unreadable = skipped.translations;
        assert_eq!((notification.content, unreadable), (expected, expected_unreadable), "{event}");
    };
    let (hi, hallo) = (text("hi"), text("hallo"));
    check(Some("hi"), json!({}), Expected(Some("hi"), None, &[], 0));
    check(Some("hi"), json!({ "Messages": null, "Language": null }), Expected(Some("hi"), None, &[], 0));
    check(Some("hi"), json!({ "Messages": {}, "Language": "" }), Expected(Some("hi"), None, &[], 0));
    check(
        Some("hi"),
        json!({ "Messages": { "de": hallo } }),
        Expected(Some("hi"), None, &[("de", "hallo")], 0),
    );
    check(None, json!({ "Messages": { "de": hallo } }), Expected(None, None, &[("de", "hallo")], 0));
    let both = json!({ "Messages": { "de": hallo, "en": hi }, "Language": "en" });
    check(None, both, Expected(None, Some("en"), &[("de", "hallo"), ("en", "hi")], 0));
    let bad =
        json!({ "Messages": { "de": hallo, "d e": hallo, "fr": "?", "it": null, "es": 7 }, "Language": "?" });
    check(Some("hi"), bad, Expected(Some("hi"), None, &[("de", "hallo")], 5));
    let locales = json!({ "Messages": { "pt_BR": hallo, "_": hi }, "Language": "de_DE" });
    check(Some("hi"), locales, Expected(Some("hi"), Some("de-DE"), &[("pt-BR", "hallo")], 1));
    let null = json!({ "Messages": { "de": hallo, "it": null } });
    check(Some("hi"), null, Expected(Some("hi"), None, &[("de", "hallo")], 1));
    let twice = json!({ "messages": { "de": hi }, "MESSAGES": { "de": hallo }, "LANGUAGE": "en" });
    check(Some("hi"), twice, Expected(Some("hi"), Some("en"), &[("de", "hi")], 0));
    check(Some("hi"), json!({ "Messages": [], "Language": 7 }), Expected(Some("hi"), None, &[], 2));
    let broken = json!({ "Message": "?", "Messages": { "de": hallo } });
    check(None, broken, Expected(None, None, &[("de", "hallo")], 1));
    let bytes = json!({ "Messages": { "de": STANDARD.encode(b"\xff") } });
    check(Some("hi"), bytes, Expected(Some("hi"), None, &[("de", "\u{fffd}")], 0));
}

#[test]
fn logout_names_its_session() {
    let check = |event_type: &str, message: &str, expected: Option<&str>| {
        let event = json!({ "Type": event_type, "Message": STANDARD.encode(message) });
        let read = read(envelope(send_sse::TYPE, event.to_string()).as_bytes(), ID).expect("readable");
        let session_id = notification(&read.expect("an event")).session_id.clone();
        assert_eq!(session_id.as_deref().map(SessionId::as_str), expected, "{event_type} {message:.40}");
    };
    let logout = "backchannel-logout";
    check(logout, r#"{"userid":"u","timestamp":"seconds:1","sessionid":"1"}"#, Some("1"));
    check(logout, r#"{"userid":"u","sessionid":""}"#, None);
    check(logout, r#"{"userid":"u","sessionid":null}"#, None);
    check(logout, r#"{"userid":"u"}"#, None);
    check(logout, "bye", None);
    check(logout, &json!({ "sessionid": "s".repeat(257) }).to_string(), None);
    check("item-renamed", r#"{"sessionid":"1"}"#, None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_rejected(bytes in any::<Vec<u8>>()) {
        prop_assert!(read(&bytes, ID).is_err());
    }

    #[test]
    fn damaged_message_does_not_panic(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let messages = captured(include_str!("../../../../../tests/wire/main-queue.jsonl"));
        let mut message = messages[0].1.clone().into_bytes();
        let position = position.index(message.len());
        message[position] = byte;
        let _ = read(&message, ID);
    }
}
