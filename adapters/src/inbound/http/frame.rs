//! Events in the format of an event stream (WHATWG HTML, 9.2.5 and 9.2.6).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use domain::notification::Notification;
use memchr::{memchr2, memchr2_iter};
use ports::outbound::{Frame, Frames};

/// Encodes each event once, for all streams, and knows how many bytes of events wait in all queues together: a frame is
/// counted once, from its encoding until the last stream has let go of it.
#[derive(Clone, Default)]
pub struct EventFrames {
    waiting: Arc<AtomicUsize>,
}

impl EventFrames {
    /// How many bytes of frames are held at present.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Frames for EventFrames {
    fn event(&self, notification: &Notification) -> Frame {
        let bytes = encode(notification);
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Counted { bytes, waiting: Arc::clone(&self.waiting) })
    }

    fn keepalive(&self) -> Frame {
        Bytes::from_static(b": keepalive\n\n")
    }
}

/// A frame's bytes, taken off the count when nobody holds them any more.
struct Counted {
    bytes: Vec<u8>,
    waiting: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// `id`, `data` and `event`, in the order in which the service has always written them.
///
/// A line break in the content (CR, LF or CRLF) begins a new `data` line, so that no text can end the field.
fn encode(notification: &Notification) -> Vec<u8> {
    let id = notification.id.to_string();
    let lines = 1 + memchr2_iter(b'\r', b'\n', notification.content.as_bytes()).count();
    let names = "id: \n".len() + lines * "data: \n".len() + "event: \n\n".len();
    let values = id.len() + notification.content.len() + notification.event_type.as_str().len();
    let mut frame = Vec::with_capacity(names + values);

    let mut field = |name: &str, value: &str| {
        frame.extend_from_slice(name.as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.push(b'\n');
    };
    field("id", &id);
    let mut rest = notification.content.as_str();
    while let Some(end) = memchr2(b'\r', b'\n', rest.as_bytes()) {
        field("data", &rest[..end]);
        let line_break = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + line_break..];
    }
    field("data", rest);
    field("event", notification.event_type.as_str());
    frame.push(b'\n');
    frame
}

#[cfg(test)]
mod tests {
    use domain::notification::{EventId, EventType, Incarnation};
    use proptest::prelude::*;

    use super::*;
    use crate::inbound::http::event_stream_parser::{Dispatched, parse};

    fn notification(event_type: &str, content: &str) -> Notification {
        Notification {
            id: EventId { incarnation: Incarnation(0xab), sequence: 7 },
            recipients: Vec::new(),
            event_type: EventType::try_new(event_type).expect("an event type"),
            content: content.into(),
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_service_we_succeed() {
        let check = |content: &str, expected: &str| {
            let frame = EventFrames::default().event(&notification("item-renamed", content));
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
    fn frames_are_counted_once_and_until_the_last_copy_is_gone() {
        let frames = EventFrames::default();
        let frame = frames.event(&notification("a", "b"));
        let copy = frame.clone();
        assert_eq!(frames.waiting(), frame.len());
        drop(frame);
        assert_eq!(frames.waiting(), copy.len());
        drop(copy);
        assert_eq!(frames.waiting(), 0);
    }

    proptest! {
        /// Whatever a publisher sends, a client reads one event: that type, that content with its line breaks as LF, that
        /// id. (WHATWG HTML, 9.2.6: without a type it is a `message`.)
        #[test]
        fn what_is_encoded_is_what_a_client_parses(
            event_type in "[^\r\n\0]{0,20}",
            content in prop_oneof![any::<String>(), "[\r\n: a-zé\u{feff}\0]{0,40}"],
        ) {
            let frame = EventFrames::default().event(&notification(&event_type, &content));
            let expected = Dispatched {
                event_type: if event_type.is_empty() { "message".into() } else { event_type },
                data: content.replace("\r\n", "\n").replace('\r', "\n"),
                last_event_id: "ab-7".into(),
            };
            prop_assert_eq!(parse(&frame), vec![expected]);
        }
    }
}
