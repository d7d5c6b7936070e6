//! The content of messages reaches the streams of their users, and nothing that an administrator reads.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    client::{Stream, get},
    nats::{Nats, envelope},
    program::{Program, server_with},
    service::{sample, token},
};

/// A marker for private content. Its first and last character occur neither in base64 nor in a language tag.
const SECRET: &str = "~hunter2~";
const SEND_SSE: &str = "events.SendSSE";
const USER_FEATURE_CHANGED: &str = "events.UserFeatureChanged";
const USER_DELETED: &str = "events.UserDeleted";

/// Returns `SendSSE` messages that are damaged in each of their parts.
fn unreadable() -> Vec<String> {
    let metadata = |event_type: &str| json!({ "eventtype": event_type });
    let with_payload =
        |payload: Value| json!({ "Metadata": metadata(SEND_SSE), "Payload": payload }).to_string();
    let in_base64 = |payload: String| with_payload(STANDARD.encode(payload).into());
    let feature = |name: &str, value: Value| {
        let features = json!([{ "Name": name, "Value": value, "OldValue": SECRET }]);
        envelope(USER_FEATURE_CHANGED, &json!({ "UserID": SECRET, "Features": features }))
    };
    vec![
        SECRET.to_owned(),
        json!(SECRET).to_string(),
        json!([SECRET]).to_string(),
        json!({ "Metadata": { SECRET: SECRET } }).to_string(),
        json!({ "Metadata": { "eventtype": [SECRET] } }).to_string(),
        with_payload(json!({ SECRET: SECRET })),
        with_payload(json!(SECRET)),
        with_payload(json!(format!("aGk={SECRET}"))),
        in_base64(SECRET.to_owned()),
        in_base64(format!(r#"{{"UserIDs":["einstein"],"Message":"{SECRET}"#)),
        envelope(SEND_SSE, &json!(SECRET)),
        envelope(SEND_SSE, &json!({ "UserIDs": SECRET })),
        envelope(SEND_SSE, &json!({ "UserIDs": { SECRET: SECRET } })),
        envelope(SEND_SSE, &json!({ "Type": [SECRET] })),
        envelope(SEND_SSE, &json!({ "Type": format!("{SECRET}\n") })),
        envelope(SEND_SSE, &json!({ "UserIDs": [SECRET], "Message": SECRET })),
        envelope(USER_FEATURE_CHANGED, &json!({ "UserID": "einstein", "Features": SECRET })),
        feature("preferredLanguage", json!(SECRET)),
        feature("preferredLanguage", json!([SECRET])),
        feature("accountEnabled", json!(SECRET)),
        envelope(USER_DELETED, &json!({ "UserID": [SECRET] })),
        envelope(USER_DELETED, &json!({ "UserID": SECRET.repeat(100) })),
    ]
}

/// Appends log lines of the program to `log` until a line contains `text`.
async fn read_log_until(program: &mut Program, log: &mut Vec<String>, text: &str) {
    while !log.iter().any(|line| line.contains(text)) {
        log.push(program.error_line().await.expect("one more line"));
    }
}

#[tokio::test]
async fn message_content_is_never_logged_or_shown() {
    let nats = Nats::start().await;
    // The audit log names the user of a stream.
    let settings = [("SSE_LOG_LEVEL", "debug"), ("SSE_LOG_AUDIT", "false"), ("SSE_DEBUG_ZPAGES", "true")];
    let mut program = server_with(&nats, &settings);
    let (http, debug) = program.logged_addresses().await;
    let mut log = Vec::new();
    read_log_until(&mut program, &mut log, "reading from NATS").await;
    let token = token(SECRET);
    let mut stream = Stream::open(http, "/sse", &[("x-access-token", &token)]).await;
    let mut live = Stream::open(debug, "/inspect/live", &[]).await;

    let publisher = nats.publisher().await;
    let unreadable = unreadable();
    for message in &unreadable {
        publisher.message(message).await;
    }
    let translations = json!({ SECRET: SECRET, "de": SECRET });
    let event = json!({
        "UserIDs": [SECRET, [SECRET]], "Type": "t", "Message": STANDARD.encode(SECRET), "Messages": translations,
        "Language": SECRET,
    });
    publisher.message(&envelope(SEND_SSE, &event)).await;
    let language = json!([{ "Name": "preferredLanguage", "Value": "de", "OldValue": SECRET }]);
    let chosen = json!({ "UserID": SECRET, "Features": language });
    publisher.message(&envelope(USER_FEATURE_CHANGED, &chosen)).await;
    publisher.event(&[SECRET], "t", "the last").await;
    while !stream.next().await.expect("one more block").0.contains("data: the last\n") {}
    let key = data_encoding::BASE32_NOPAD.encode(SECRET.as_bytes());
    for (bucket, value) in [("sse-languages", json!({ "language": SECRET })), ("sse-resume", json!(SECRET))] {
        let bucket = publisher.jetstream.get_key_value(bucket).await.expect("the bucket");
        bucket.put(&key, value.to_string().into()).await.expect("put");
    }
    for passed_over in ["unreadable language choice skipped", "unreadable bookmark skipped"] {
        read_log_until(&mut program, &mut log, passed_over).await;
    }

    let count = sample::<usize>(debug, r#"sse_events_received_total{outcome="unreadable"}"#).await;
    assert_eq!(count, unreadable.len());
    let mut shown = Vec::new();
    for path in ["/metrics", "/readyz", "/inspect", "/debug/tracez", "/config"] {
        shown.push(get(debug, path, &[]).await.body);
    }
    while !shown.last().is_some_and(|block| block.contains("event: events")) {
        shown.push(live.next().await.expect("one more block").0);
    }
    program.terminate();
    log.push(program.remaining_errors().await);
    let passed_over = log.iter().filter(|line| line.contains("unreadable message skipped")).count();
    assert_eq!(passed_over, unreadable.len(), "{log:#?}");

    let core = SECRET.trim_matches('~');
    for text in log.iter().chain(&shown) {
        for private in [core, &STANDARD.encode(SECRET), &key] {
            assert!(!text.contains(private), "{private} in {text}");
        }
    }
}
