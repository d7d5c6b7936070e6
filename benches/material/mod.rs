//! What the parts work on, the same for those who time them and for those who count their instructions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::outbound::{clock::SystemClock, jwt::RevaTokens};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    identity::UserId,
    log::{EventLog, LogLimits, NewEvent, StreamLimits},
    notification::{EventId, EventType, Incarnation, Notification},
};
use serde_json::{Value, json};

/// So many users there are, and so many recipients an event for all of them has.
pub(crate) const USERS: usize = 5_000;

/// The event of this position on the bus.
pub(crate) const fn id(sequence: u64) -> EventId {
    EventId { incarnation: Incarnation::of(0x019a_b4cf_02d1), sequence }
}

/// As the platform names its users.
fn user(n: usize) -> String {
    format!("4c510ada-c86b-4815-8820-{n:012x}")
}

/// As the platform's are: a few hundred bytes of JSON.
fn text() -> String {
    json!({ "itemid": "a".repeat(230), "etag": "\"x\"" }).to_string()
}

/// What a service puts on the bus.
fn message(event_type: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let envelope = json!({
        "Timestamp": "2026-11-23T16:10:33.440899299Z",
        "Metadata": {
            "eventid": "057acbd7-723e-4c8b-98ec-39db10857450",
            "eventtype": event_type,
            "initiatorid": "",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "ID": "6ac3ca81-9769-461c-a056-b73b75076c67",
        "Topic": "main-queue",
        "Payload": STANDARD.encode(payload),
    });
    envelope.to_string().into_bytes()
}

/// A message with an event for so many users.
pub(crate) fn send_sse(recipients: usize) -> Vec<u8> {
    let users: Vec<_> = (0..recipients).map(user).collect();
    let event =
        json!({ "UserIDs": users, "Type": "postprocessing-finished", "Message": STANDARD.encode(text()) });
    message("events.SendSSE", event.to_string())
}

/// A message that is not for us, with 4 KiB of payload.
pub(crate) fn of_another_service() -> Vec<u8> {
    message("events.UploadReady", "x".repeat(3 << 10))
}

/// One event after the other, each for so many users.
pub(crate) fn events(recipients: usize, now: Instant) -> impl Iterator<Item = NewEvent<()>> {
    (1_u64..).scan((0..USERS).cycle(), move |users, sequence| {
        let recipients = users.by_ref().take(recipients);
        let notification = Notification {
            id: id(sequence),
            recipients: recipients.map(|n| UserId::try_new(&user(n)).expect("a user id")).collect(),
            event_type: EventType::try_new("postprocessing-finished").expect("an event type"),
            content: (&*text()).into(),
        };
        Some(NewEvent { notification, encoded: (), published: now })
    })
}

/// A log without streams.
pub(crate) type Log = EventLog<(), ()>;

/// A log that holds all the `events` it can: for each one more it removes older ones.
pub(crate) fn full_log(events: &mut impl Iterator<Item = NewEvent<()>>, now: Instant) -> Log {
    let max_bytes = 4 << 20;
    let limits = LogLimits { max_age: Duration::MAX, max_bytes };
    let mut log = EventLog::new(limits, StreamLimits { total: 0, per_user: 0 });
    log.resync(id(0), now, &mut |()| ());
    let mut bytes = 0;
    while bytes <= max_bytes {
        bytes += append(&mut log, events.next().expect("one more event"), now);
    }
    log
}

/// Appends an event, and returns its size in the log.
pub(crate) fn append(log: &mut Log, event: NewEvent<()>, now: Instant) -> usize {
    let Some(mut appending) = log.start_append(event, now) else { return 0 };
    loop {
        if let Some(appended) = log.append_batch(&mut appending, now, &mut |()| ()) {
            return appended.bytes;
        }
    }
}

/// A token as the platform makes them, and who verifies it.
pub(crate) fn token() -> (RevaTokens, String) {
    let captured: Value = serde_json::from_str(include_str!("../../tests/wire/tokens.json")).expect("JSON");
    let secret = captured["secret"].as_str().expect("a secret");
    let token = captured["tokens"]["user-scope"].as_str().expect("a token");
    (RevaTokens::new(secret, None, Arc::new(SystemClock)), token.to_owned())
}
