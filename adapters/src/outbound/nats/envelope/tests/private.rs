//! Errors quote nothing of a message. Errors are logged, and a message may be private.

use super::*;

/// Represents the private parts of a message. It is neither base64 nor a language tag.
const SECRET: &str = "~hunter2~";
/// Another secret of the same form. If the errors of the two differ, one of them quotes its secret.
const OTHER_SECRET: &str = "^dragon9^";

/// Returns the errors and their causes, as `Display` and `Debug` format them. Returns none if the whole message is readable.
fn errors(message: &[u8]) -> Vec<String> {
    let errors = match read(message, ID) {
        Err(error) => vec![error],
        Ok(Some(Event::UserChanged { changes, .. })) => changes.into_iter().filter_map(Result::err).collect(),
        Ok(_) => Vec::new(),
    };
    let causes = errors.iter().flat_map(|error| {
        std::iter::successors(Some(error as &dyn std::error::Error), |&error| error.source())
    });
    causes.map(|cause| format!("{cause}: {cause:?}")).collect()
}

#[test]
fn errors_quote_nothing_of_the_message() {
    let with_event = |payload: String| envelope(send_sse::TYPE, &payload);
    let with_change = |payload: String| envelope(user_feature_changed::TYPE, &payload);
    let feature = |name: &str, value: Value| {
        with_change(json!({ "UserID": "a", "Features": [{ "Name": name, "Value": value }] }).to_string())
    };
    let with_payload = |payload: Value| {
        json!({ "Metadata": { "eventtype": send_sse::TYPE }, "Payload": payload }).to_string()
    };
    let damaged = |secret: &str| {
        [
            secret.to_owned(),
            json!(secret).to_string(),
            json!([secret]).to_string(),
            json!({ "Metadata": { "eventtype": [secret] } }).to_string(),
            json!({ "Metadata": secret }).to_string(),
            with_payload(json!({ secret: 1 })),
            with_payload(json!(secret)),
            with_payload(json!(format!("aGk{}=", &secret[1..2]))),
            with_payload(json!(format!("aGk={secret}"))),
            with_event(secret.to_owned()),
            with_event(json!(secret).to_string()),
            with_event(json!({ "UserIDs": secret }).to_string()),
            with_event(json!({ "Type": [secret] }).to_string()),
            with_event(json!({ "Type": format!("{secret}\n") }).to_string()),
            with_event(json!({ "Message": [secret] }).to_string()),
            with_event(json!({ "Message": secret }).to_string()),
            with_event(json!({ "Message": secret, "Messages": { secret: secret } }).to_string()),
            // The padding is too long for the last character.
            with_event(json!({ "Message": format!("{}==", &secret[1..4]) }).to_string()),
            with_event(json!({ "Message": &secret[1..6] }).to_string()),
            with_change(secret.to_owned()),
            with_change(json!({ "UserID": [secret], "Features": [] }).to_string()),
            with_change(json!({ "UserID": "a", "Features": secret }).to_string()),
            with_change(json!({ "UserID": "a", "Features": [{ "Name": { secret: 1 } }] }).to_string()),
            feature("preferredLanguage", json!([secret])),
            feature("preferredLanguage", json!(secret)),
            feature("preferredLanguage", json!(secret.repeat(20))),
            feature("accountEnabled", json!([secret])),
            feature("accountEnabled", json!(secret)),
            envelope(user_deleted::TYPE, secret),
            envelope(user_deleted::TYPE, json!({ "UserID": [secret] }).to_string()),
            envelope(user_deleted::SOFT_TYPE, json!({ "UserID": secret.repeat(100) }).to_string()),
        ]
    };
    for (message, other) in damaged(SECRET).into_iter().zip(damaged(OTHER_SECRET)) {
        let errors = [errors(message.as_bytes()), errors(other.as_bytes())];
        assert!(!errors[0].is_empty(), "{message} was read");
        assert_eq!(errors[0], errors[1], "{message}");
    }
}

/// Returns the captured messages for this service, as envelope and payload.
fn captured_for_us() -> Vec<(Value, Value)> {
    let files = [
        include_str!("../../../../../../tests/wire/main-queue.jsonl"),
        include_str!("../../../../../../tests/wire/session.jsonl"),
        include_str!("../../../../../../tests/wire/in-languages.jsonl"),
    ];
    let messages = files.into_iter().flat_map(captured).map(|(_, message)| message);
    let for_us = messages.filter(|message| matches!(read(message.as_bytes(), ID), Ok(Some(_))));
    let parts = for_us.map(|message| {
        let envelope: Value = serde_json::from_str(&message).expect("JSON");
        let payload = STANDARD.decode(envelope["Payload"].as_str().expect("a text")).expect("base64");
        (envelope, serde_json::from_slice(&payload).expect("JSON"))
    });
    parts.collect()
}

/// Replaces every value by `secret`, except for the values that identify the message.
fn fill(value: &mut Value, name: &str, secret: &str) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| fill(field, name, secret)),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, name, secret)),
        _ if ["eventtype", "Name"].contains(&name) => {}
        _ if name == "Message" => *value = STANDARD.encode(secret).into(),
        _ => *value = secret.into(),
    }
}

/// Returns the pointers (RFC 6901) to `value` and every value in it.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let inner: Vec<_> = match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), field)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    let inner = inner.into_iter().flat_map(|(name, value)| pointers(value, &format!("{at}/{name}")));
    std::iter::once(at.to_owned()).chain(inner).collect()
}

/// Replacements for a value.
const DAMAGE: [fn(&str) -> Value; 8] = [
    |_| Value::Null,
    |_| json!(7),
    |secret| json!([secret]),
    |secret| json!({ secret: secret }),
    |secret| json!(secret),
    |secret| json!(format!("{secret}\n")),
    |secret| json!(secret.repeat(100)),
    |secret| json!(STANDARD.encode(secret)),
];

proptest! {
    /// The messages are derived from captured ones: every value contains a secret, one value is replaced, and the end may be cut off.
    #[test]
    fn errors_do_not_depend_on_private_values(
        message in any::<prop::sample::Index>(),
        of_payload in any::<bool>(),
        index in any::<prop::sample::Index>(),
        damage in prop::sample::select(&DAMAGE[..]),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let captured = captured_for_us();
        let (envelope, payload) = message.get(&captured);
        let damaged = |secret: &str| {
            let (mut envelope, mut payload) = (envelope.clone(), payload.clone());
            fill(&mut envelope, "", secret);
            fill(&mut payload, "", secret);
            let part = if of_payload { &mut payload } else { &mut envelope };
            let pointers = pointers(part, "");
            let pointer = index.get(pointers.as_slice()).as_str();
            *part.pointer_mut(pointer).expect("a value") = damage(secret);
            if let Some(fields) = envelope.as_object_mut().filter(|_| of_payload || pointer != "/Payload") {
                fields.insert("Payload".into(), STANDARD.encode(payload.to_string()).into());
            }
            let mut message = envelope.to_string();
            if let Some(end) = end {
                message.truncate(end.index(message.len()));
            }
            message
        };
        let messages = [damaged(SECRET), damaged(OTHER_SECRET)];
        let [errors, others] = messages.each_ref().map(|message| errors(message.as_bytes()));
        prop_assert_eq!(errors, others, "{}", messages[0]);
    }
}
