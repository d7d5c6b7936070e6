//! Events in the format of an event stream (WHATWG HTML, 9.2.5 and 9.2.6).

use std::time::Duration;

use bytes::Bytes;
use domain::{
    content::TranslationIndex,
    gap::{Gap, GapReason},
    language::LanguageTag,
    log::EndReason,
    notification::{EventId, Notification},
};
use memchr::{memchr2, memchr2_iter};
use ports::{Frame, outbound::Frames};

/// Encodes events, comments and the other blocks of an event stream.
#[derive(Clone, Copy, Debug)]
pub struct EventFrames;

impl Frames for EventFrames {
    fn event(&self, notification: &Notification, translation: TranslationIndex) -> Frame {
        let Notification { id, event_type, content, .. } = notification;
        encode(*id, event_type.as_str(), content.text(translation)).into()
    }

    fn opening(&self, reconnection_time: Option<Duration>, position: Option<EventId>) -> Option<Frame> {
        let retry = reconnection_time.map(retry).unwrap_or_default();
        let id = position.map(id).unwrap_or_default();
        (retry.len() + id.len() > 0).then(|| format!("{retry}{id}\n").into())
    }

    fn position(&self, position: EventId) -> Frame {
        format!("{}\n", id(position)).into()
    }

    fn gap(&self, Gap { last_event_id, reason }: &Gap, position: EventId) -> Frame {
        let reason = match reason {
            GapReason::Expired => "expired",
            GapReason::Limit => "limit",
            GapReason::Unknown => "unknown",
        };
        let content = serde_json::json!({ "last_event_id": last_event_id, "reason": reason });
        encode(position, STREAM_GAP, &content.to_string()).into()
    }

    fn language(&self, language: &LanguageTag) -> Frame {
        format!(": language {language}\n\n").into()
    }

    fn keepalive(&self) -> Frame {
        Bytes::from_static(b": keepalive\n\n")
    }

    fn closing(&self, reason: EndReason, reconnection_time: Option<Duration>) -> Frame {
        let why = match reason {
            EndReason::Expired => "the token has expired or is about to",
            EndReason::Logout => "the user has logged out",
            EndReason::Revoked => "the account was disabled or deleted",
            EndReason::MaxAge => "the stream has reached its age",
            EndReason::Replaced => "the client has opened a newer stream",
            EndReason::Administrator => "an administrator has ended the stream",
            EndReason::Stopping | EndReason::HandedOver => "the service is stopping",
            EndReason::Client | EndReason::WriteTimeout => "the line is lost",
        };
        format!("{}: {why}\n\n", reconnection_time.map(retry).unwrap_or_default()).into()
    }
}

/// The type of the event that reports missing events.
const STREAM_GAP: &str = "stream-gap";

/// Returns the field with the reconnection time, in milliseconds (WHATWG HTML, 9.2.6).
fn retry(time: Duration) -> String {
    format!("retry: {}\n", time.as_millis())
}

/// Returns the field with the last event id. A block without data is not an event (WHATWG HTML, 9.2.6).
fn id(position: EventId) -> String {
    format!("id: {position}\n")
}

/// Returns the fields `id`, `data` and `event`, in the order of the built-in service.
///
/// A line break in the content (CR, LF or CRLF) starts a new `data` line, so that no content can end the field.
fn encode(id: EventId, event_type: &str, content: &str) -> Vec<u8> {
    let id = id.to_string();
    let lines = 1 + memchr2_iter(b'\r', b'\n', content.as_bytes()).count();
    let names = "id: \n".len() + lines * "data: \n".len() + "event: \n\n".len();
    let mut frame = Vec::with_capacity(names + id.len() + content.len() + event_type.len());

    let mut field = |name: &str, value: &str| {
        frame.extend_from_slice(name.as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.push(b'\n');
    };
    field("id", &id);
    let mut rest = content;
    while let Some(end) = memchr2(b'\r', b'\n', rest.as_bytes()) {
        field("data", &rest[..end]);
        let line_break = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + line_break..];
    }
    field("data", rest);
    field("event", event_type);
    frame.push(b'\n');
    frame
}

#[cfg(test)]
mod tests {
    use domain::notification::{EventType, Incarnation, Recipients};
    use proptest::prelude::*;

    use super::*;
    use crate::inbound::http::event_stream::parser::{DispatchedEvent, parse};

    const POSITION: EventId = EventId { incarnation: Incarnation::of(0xab), sequence: 9 };

    fn notification(event_type: &str, content: &str) -> Notification {
        Notification {
            id: EventId { incarnation: Incarnation::of(0xab), sequence: 7 },
            recipients: Recipients::Everyone,
            event_type: EventType::try_new(event_type).expect("an event type"),
            content: content.into(),
            session_id: None,
        }
    }

    #[test]
    fn encodes_events_like_the_built_in_service() {
        let check = |content: &str, expected: &str| {
            let frame = EventFrames.event(&notification("item-renamed", content), TranslationIndex::FALLBACK);
            assert_eq!(str::from_utf8(&frame), Ok(expected), "{content:?}");
        };
        check("{}", "id: ab-7\ndata: {}\nevent: item-renamed\n\n");
        check("", "id: ab-7\ndata: \nevent: item-renamed\n\n");
        check(": no comment", "id: ab-7\ndata: : no comment\nevent: item-renamed\n\n");
        check("a\nb", "id: ab-7\ndata: a\ndata: b\nevent: item-renamed\n\n");
        check("a\r\nb\rc\n", "id: ab-7\ndata: a\ndata: b\ndata: c\ndata: \nevent: item-renamed\n\n");
        check("\n\r", "id: ab-7\ndata: \ndata: \ndata: \nevent: item-renamed\n\n");
    }

    #[test]
    fn encodes_blocks_that_are_not_events() {
        let check = |frame: Frame, expected: &str| {
            assert_eq!(str::from_utf8(&frame), Ok(expected));
            assert_eq!(parse(&frame), vec![]);
        };
        let (frames, three) = (EventFrames, Duration::from_secs(3));
        check(frames.opening(Some(three), Some(POSITION)).expect("something"), "retry: 3000\nid: ab-9\n\n");
        check(frames.opening(Some(three), None).expect("something"), "retry: 3000\n\n");
        check(frames.opening(None, Some(POSITION)).expect("something"), "id: ab-9\n\n");
        assert_eq!(frames.opening(None, None), None);
        check(frames.position(POSITION), "id: ab-9\n\n");
        check(frames.keepalive(), &format!(": {}\n\n", domain::keepalive::COMMENT));
        check(frames.closing(EndReason::Expired, None), ": the token has expired or is about to\n\n");
        check(frames.closing(EndReason::Stopping, Some(three)), "retry: 3000\n: the service is stopping\n\n");
    }

    #[test]
    fn encodes_a_gap_as_an_event() {
        let check = |last: Option<&str>, reason: GapReason, expected: &str| {
            let event = DispatchedEvent {
                event_type: "stream-gap".into(),
                data: expected.into(),
                last_event_id: "ab-9".into(),
            };
            let gap = Gap { last_event_id: last.map(Into::into), reason };
            assert_eq!(parse(&EventFrames.gap(&gap, POSITION)), vec![event]);
        };
        check(Some("ab-3"), GapReason::Expired, r#"{"last_event_id":"ab-3","reason":"expired"}"#);
        check(None, GapReason::Limit, r#"{"last_event_id":null,"reason":"limit"}"#);
        check(Some("a\"\n"), GapReason::Unknown, r#"{"last_event_id":"a\"\n","reason":"unknown"}"#);
    }

    proptest! {
        /// Any event is parsed as exactly one event with the same type, id and content; line breaks become LF. Without a type it is a
        /// `message` (WHATWG HTML, 9.2.6).
        #[test]
        fn parsed_event_equals_the_encoded_one(
            event_type in "[^\r\n\0]{0,20}",
            content in prop_oneof![any::<String>(), "[\r\n: a-zé\u{feff}\0]{0,40}"],
        ) {
            let frame = EventFrames.event(&notification(&event_type, &content), TranslationIndex::FALLBACK);
            let expected = DispatchedEvent {
                event_type: if event_type.is_empty() { "message".into() } else { event_type },
                data: content.replace("\r\n", "\n").replace('\r', "\n"),
                last_event_id: "ab-7".into(),
            };
            prop_assert_eq!(parse(&frame), vec![expected]);
        }
    }
}
