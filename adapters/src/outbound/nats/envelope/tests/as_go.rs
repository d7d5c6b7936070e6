//! Messages that Go would not write, but reads. Each table was compared with `encoding/json` of Go 1.19 and Go 1.27.

use super::*;

/// The recipients of an event, its type and its message; or the error.
type Expected<'a> = Result<(&'a [&'a str], &'a str, &'a str), &'a str>;

const INVALID_PAYLOAD: &str = "the payload does not match the event type";
const INVALID_BASE64: &str = "the message is not base64";
const INVALID_ENVELOPE: &str = "not a go-micro envelope";

#[track_caller]
fn check_message(message: &[u8], expected: Expected<'_>) {
    let read = read(message, ID);
    let read = read.as_ref().map(|event| {
        let read = notification(event.as_ref().expect("for this service"));
        let users = match &read.recipients {
            Recipients::Users(users) => users.iter().map(UserId::as_str).collect(),
            Recipients::Everyone => vec!["everyone"],
        };
        (users, read.event_type.as_str(), read.content.text(TranslationIndex::FALLBACK))
    });
    let expected = expected.map(|(users, event_type, message)| (users.to_vec(), event_type, message));
    assert_eq!(read.map_err(ToString::to_string), expected.map_err(Into::into), "{}", message.escape_ascii());
}

/// Checks an event with this payload.
#[track_caller]
fn check(payload: impl AsRef<[u8]>, expected: Expected<'_>) {
    check_message(envelope(send_sse::TYPE, payload).as_bytes(), expected);
}

#[test]
fn null_leaves_a_value_unchanged() {
    check(r#"{"UserIDs":["a",null],"Type":"t"}"#, Ok((&["a"], "t", "")));
    check(r#"{"UserIDs":[null,"a","",null,"b"],"Type":"t"}"#, Ok((&["a", "b"], "t", "")));
    check(r#"{"UserIDs":null,"Type":null,"Message":null}"#, Ok((&[], "", "")));
    check(r#"{"UserIDs":["a"],"Type":null,"Message":"aGk="}"#, Ok((&["a"], "", "hi")));
    check("null", Ok((&[], "", "")));
}

/// OpenCloud addresses all users as `all`.
#[test]
fn all_means_everyone() {
    check(r#"{"UserIDs":["all"],"Type":"t"}"#, Ok((&["everyone"], "t", "")));
    check(r#"{"UserIDs":["a","all","b"],"Type":"t"}"#, Ok((&["everyone"], "t", "")));
    check(r#"{"UserID":"all","Type":"t"}"#, Ok((&["everyone"], "t", "")));
    check(r#"{"UserIDs":["ALL"," all"],"Type":"t"}"#, Ok((&["ALL", " all"], "t", "")));
}

#[test]
fn names_match_in_any_case() {
    check(r#"{"userids":["a"],"TYPE":"t","mESSAGE":"aGk="}"#, Ok((&["a"], "t", "hi")));
    // Unicode case folding includes the long s and the Kelvin sign.
    check(r#"{"UſerIDs":["a"],"type":"t","Meſſage":"aGk="}"#, Ok((&["a"], "t", "hi")));
    check(r#"{"UserIDs":["a"],"T\u0079pe":"t"}"#, Ok((&["a"], "t", "")));
    check(r#"{"UserIDs":["a"],"Typé":"t","Typ":"t","Types":"t","User":"b"}"#, Ok((&["a"], "", "")));
    check(r#"{"UserIDs":["a"],"":"x","Type":"t","Unknown":{"Type":"u"}}"#, Ok((&["a"], "t", "")));
}

#[test]
fn last_duplicate_counts() {
    check(r#"{"Type":"t","Type":"u"}"#, Ok((&[], "u", "")));
    check(r#"{"Type":"t","type":"u"}"#, Ok((&[], "u", "")));
    check(r#"{"type":"t","Type":"u"}"#, Ok((&[], "u", "")));
    check(r#"{"Type":"t","Type":null}"#, Ok((&[], "t", "")));
    check(r#"{"UserIDs":["a","b"],"UserIDs":["c"]}"#, Ok((&["c"], "", "")));
    check(r#"{"UserIDs":["a","b"],"UserIDs":[]}"#, Ok((&[], "", "")));
    check(r#"{"UserIDs":["a","b"],"UserIDs":null}"#, Ok((&[], "", "")));
    // Go reads the second list into the first one.
    check(r#"{"UserIDs":["a","b"],"UserIDs":["c",null]}"#, Ok((&["c", "b"], "", "")));
    check(r#"{"Message":"aGk=","Message":""}"#, Ok((&[], "", "")));
    check(r#"{"Message":"aGk=","Message":null}"#, Ok((&[], "", "")));
    check(r#"{"Message":"aGk=","message":"eW8="}"#, Ok((&[], "", "yo")));
}

#[test]
fn invalid_unicode_is_replaced() {
    check(r#"{"Type":"\ud83d\ude00"}"#, Ok((&[], "😀", "")));
    check(r#"{"Type":"\ud800"}"#, Ok((&[], "\u{fffd}", "")));
    check(r#"{"Type":"\ud800\ud800\udc00"}"#, Ok((&[], "\u{fffd}\u{10000}", "")));
    check(r#"{"Type":"\udc00\ud800x"}"#, Ok((&[], "\u{fffd}\u{fffd}x", "")));
    check(r#"{"Type":"\ud800\u0041"}"#, Ok((&[], "\u{fffd}A", "")));
    check(r#"{"Type":"\\ud800"}"#, Ok((&[], r"\ud800", "")));
    check(r#"{"UserIDs":["a","\ud800"],"Type":"t","\ud800":1}"#, Ok((&["a", "\u{fffd}"], "t", "")));
    check(b"{\"Type\":\"a\xffb\"}", Ok((&[], "a\u{fffd}b", "")));
    check(b"{\"Type\":\"a\xe2\x82\"}", Ok((&[], "a\u{fffd}\u{fffd}", "")));
    check(b"{\"Type\":\"\xed\xa0\x80\"}", Ok((&[], "\u{fffd}\u{fffd}\u{fffd}", "")));
    check(b"{\"Type\":\"\xff\\ud800\xff\"}", Ok((&[], "\u{fffd}\u{fffd}\u{fffd}", "")));
    check(b"{\"UserIDs\":[\"a\",\"\xff\"],\"\xff\":1,\"Type\":\"t\"}", Ok((&["a", "\u{fffd}"], "t", "")));
    check(b"{\"Message\":\"aG\xffk=\"}", Err(INVALID_BASE64));
    check(b"{}\xff", Err(INVALID_PAYLOAD));
}

#[test]
fn base64_may_have_line_breaks_and_unused_bits() {
    check(r#"{"Message":"aG\nk=\r\n"}"#, Ok((&[], "", "hi")));
    check(r#"{"Message":"aA=\r=\n\n"}"#, Ok((&[], "", "h")));
    check(r#"{"Message":"aGl="}"#, Ok((&[], "", "hi")));
    check(r#"{"Message":"aB=="}"#, Ok((&[], "", "h")));
    check(r#"{"Message":"\u0061Gk="}"#, Ok((&[], "", "hi")));
    check(r#"{"Message":"\n"}"#, Ok((&[], "", "")));
    for message in ["aGk", "aGk==", "aGk=aGk=", "aG=k", "aG k=", "aG\\tk=", "_-8=", "=", "====", "a==="] {
        check(format!(r#"{{"Message":"{message}"}}"#), Err(INVALID_BASE64));
    }
    // Go also accepts a list of numbers.
    check(r#"{"Message":[104,105]}"#, Ok((&[], "", "hi")));
    check(r#"{"Message":[104,null]}"#, Ok((&[], "", "h\0")));
    check(r#"{"Message":[]}"#, Ok((&[], "", "")));
    for message in ["[300]", "[-1]", "[1.0]", "[1e1]", "[-0]", r#"["a"]"#, "7", "true", "{}"] {
        check(format!(r#"{{"Message":{message}}}"#), Err(INVALID_PAYLOAD));
    }
}

#[test]
fn whole_payload_must_be_json() {
    check(" \t\r\n{ \"Type\" : \"t\" } \n", Ok((&[], "t", "")));
    let nines = "9".repeat(400);
    check(format!(r#"{{"x":{nines},"y":1e9999,"Type":"t"}}"#), Ok((&[], "t", "")));
    check(r#"{"Type":"\u0000"}"#, Err("invalid event type"));
    let (open, close) = ("[".repeat(9_000), "]".repeat(9_000));
    check(format!(r#"{{"x":{open}{close},"Type":"t"}}"#), Ok((&[], "t", "")));
    for payload in [
        "[]",
        r#"[["a"],null,"t"]"#,
        r#"[["a"],"b","t","aGk="]"#,
        "7",
        "\"a\"",
        "true",
        "",
        " ",
        "{} {}",
        "{}x",
        "{},",
        "nul",
        "\u{feff}{}",
        "\0{}",
    ] {
        check(payload, Err(INVALID_PAYLOAD));
    }
    for object in [
        r#"{"Type":"t",}"#,
        "{\"Type\":\"a\tb\"}",
        r#"{"x":01}"#,
        r#"{"x":-}"#,
        r#"{"x":NaN}"#,
        r"{'Type':'t'}",
        r#"{"Type":"\x41"}"#,
        r#"{"x":"\ud8"}"#,
        r#"{"UserIDs":["a"#,
    ] {
        check(object, Err(INVALID_PAYLOAD));
    }
    // Members of another type than in Go.
    for object in
        [r#"{"UserIDs":"a"}"#, r#"{"UserIDs":{}}"#, r#"{"Type":7}"#, r#"{"Type":["t"]}"#, r#"{"Type":{}}"#]
    {
        check(object, Err(INVALID_PAYLOAD));
    }
}

/// Go rejects these events as a whole. Here the valid parts are delivered.
#[test]
fn invalid_values_do_not_affect_others() {
    check(r#"{"UserIDs":["a",7,"b"],"Type":"t"}"#, Ok((&["a", "b"], "t", "")));
    check(r#"{"UserIDs":["a",["b"],{"c":"d"},true,"e"],"Type":"t"}"#, Ok((&["a", "e"], "t", "")));
    check(r#"{"UserIDs":["a",1e999,-0.0],"Type":"t"}"#, Ok((&["a"], "t", "")));
    let long = "x".repeat(UserId::MAX_BYTES + 1);
    check(format!(r#"{{"UserIDs":["{long}","a"],"Type":"t"}}"#), Ok((&["a"], "t", "")));
    let (open, close) = ("[".repeat(11_000), "]".repeat(11_000));
    check(format!(r#"{{"UserIDs":["a",{open}{close}],"Type":"t"}}"#), Ok((&["a"], "t", "")));
    check(r#"{"UserIDs":["a"],"UserID":7,"Type":"t"}"#, Ok((&["a"], "t", "")));
    check(r#"{"Message":"?","Message":"aGk="}"#, Ok((&[], "", "hi")));
    for metadata in
        [r#""traceparent":null"#, r#""traceparent":7"#, r#""x":7"#, r#""traceparent":"a","traceparent":"b""#]
    {
        let message =
            format!(r#"{{"Metadata":{{"eventtype":"events.SendSSE",{metadata}}},"Payload":"e30="}}"#);
        check_message(message.as_bytes(), Ok((&[], "", "")));
    }
    for member in [r#""ID":7"#, r#""Timestamp":"yesterday""#, r#""Topic":null"#, r#""Further":{}"#] {
        let message = format!(r#"{{{member},"Metadata":{{"eventtype":"events.SendSSE"}},"Payload":"e30="}}"#);
        check_message(message.as_bytes(), Ok((&[], "", "")));
    }
}

#[test]
fn skipped_users_are_counted() {
    let check_event = |event: &str, expected: usize| {
        let message = envelope(send_sse::TYPE, event);
        let read = read(message.as_bytes(), ID).expect("readable");
        let Some(Event::Notification { skipped, .. }) = read else { panic!("{read:?}") };
        assert_eq!(skipped, Skipped { users: expected, translations: 0 }, "{event}");
    };
    let check = |users: &str, expected| check_event(&format!(r#"{{"UserIDs":{users}}}"#), expected);
    check("null", 0);
    check(r#"["a","b"]"#, 0);
    check(r#"["a","","b"]"#, 1);
    check(r#"["a",null,7,["b"]]"#, 3);
    // The only recipient in Infinite Scale 4. Go does not distinguish an empty string from a missing value.
    check_event(r#"{"UserID":"a"}"#, 0);
    check_event(r#"{"UserID":""}"#, 0);
    check_event(r#"{"UserID":null}"#, 0);
    check_event(r#"{"UserID":7}"#, 1);
    check_event(r#"{"userid":["a"],"UserIDs":["b",7]}"#, 2);
    check_event(&format!(r#"{{"UserID":"{}"}}"#, "a".repeat(513)), 1);
    // The last value of a name counts.
    check_event(r#"{"UserID":7,"UserID":"a"}"#, 0);
    check_event(r#"{"UserID":"a","UserID":7}"#, 1);
}

#[test]
fn infinite_scale_4_names_one_user() {
    check(r#"{"UserID":"a","Type":"t","Message":"aGk="}"#, Ok((&["a"], "t", "hi")));
    check(r#"{"userid":"a","Type":"t"}"#, Ok((&["a"], "t", "")));
    check(r#"{"UserIDs":["a","b"],"UserID":"c","Type":"t"}"#, Ok((&["a", "b", "c"], "t", "")));
    check(r#"{"UserID":"","Type":"t"}"#, Ok((&[], "t", "")));
    check(r#"{"UserID":null,"UserIDs":["a"],"Type":"t"}"#, Ok((&["a"], "t", "")));
}

#[test]
fn envelope_is_decoded_as_in_go() {
    let check = |message: &str, expected: Expected<'_>| check_message(message.as_bytes(), expected);
    let metadata = r#""Metadata":{"eventtype":"events.SendSSE"}"#;
    let payload = STANDARD.encode(r#"{"UserIDs":["a"],"Type":"t"}"#);
    let with = |members: &str| format!("{{{members},\"Payload\":\"{payload}\"}}");
    let read: Expected<'_> = Ok((&["a"], "t", ""));
    check(&with(metadata), read);
    check(&with(r#""metadata":{"eventtype":"events.SendSSE"}"#), read);
    check(&format!(r#"{{{metadata},"PAYLOAD":"{payload}"}}"#), read);
    check(&format!(r#"{{"payLOAD":"{payload}",{metadata}}}"#), read);
    check(&with(r#""Metadata":{"eventtype":"events.SendSSE","eventtype":"events.SendSSE"}"#), read);
    check(&with(r#""Metadata":{"eventtype":"events.Other","eventtype":"events.SendSSE"}"#), read);
    check(&with(r#""Metadata":null,"Metadata":{"eventtype":"events.SendSSE"}"#), read);
    check(&with(&format!(r#"{metadata},"Metadata":{{"traceparent":"t"}}"#)), read);
    check(&with(r#""\ud800":"\ud800","Metadata":{"eventtype":"events.SendSSE","\udc00":"\udc00"}"#), read);
    check(&with(&format!(r#"{metadata},"Payload":"?""#)), read);
    check(&with(&format!(r#"{metadata},"Payload":null"#)), read);
    check(&format!(r#"{{{metadata},"Payload":"e30=","payload":"{payload}"}}"#), read);
    let broken = format!("{}\\r\\n{}\\n", &payload[..3], &payload[3..]);
    check(&format!(r#"{{{metadata},"Payload":"{broken}"}}"#), read);
    check(&format!(r#"{{{metadata},"Payload":"e31="}}"#), Ok((&[], "", "")));
    check(&format!(r#"{{{metadata},"Payload":[123,125]}}"#), Ok((&[], "", "")));
    let bytes =
        [b"{\"ID\":\"\xff\",".as_slice(), metadata.as_bytes(), b",\"Payload\":\"e30=\",\"\xff\":1}"].concat();
    check_message(&bytes, Ok((&[], "", "")));

    for payload in ["null", "7", "{}", r#""""#, r#""bnVs""#] {
        check(&format!(r#"{{{metadata},"Payload":{payload}}}"#), Err(INVALID_PAYLOAD));
    }
    check(&format!(r#"{{{metadata},"Payload":"e30=","Payload":null}}"#), Err(INVALID_PAYLOAD));
    check(&format!("{{{metadata}}}"), Err(INVALID_PAYLOAD));
    check(&format!(r#"{{{metadata},"Payload":"e30"}}"#), Err("the payload is not base64"));
    check(&format!("{} x", with(metadata)), Err(INVALID_ENVELOPE));
    check(&format!("\u{feff}{}", with(metadata)), Err(INVALID_ENVELOPE));
    check(&with(r#""Metadata":[]"#), Err(INVALID_ENVELOPE));
    check(&with(r#""Metadata":["events.SendSSE","t"]"#), Err(INVALID_ENVELOPE));
    check(&format!(r#"[{{"eventtype":"events.SendSSE"}},"{payload}"]"#), Err(INVALID_ENVELOPE));
    check("null", Err(INVALID_ENVELOPE));
    // Go reads these as events without a type.
    for metadata in [
        r#"{"EventType":"events.SendSSE"}"#,
        r#"{"eventtype":7}"#,
        "{}",
        "null",
        r#"{"eventtype":["events.SendSSE"]}"#,
    ] {
        check(&with(&format!(r#""Metadata":{metadata}"#)), Err(INVALID_ENVELOPE));
    }
    check(&with(&format!(r#"{metadata},"Metadata":null"#)), Err(INVALID_ENVELOPE));
    for event_type in ["null", r#""""#, r#""events.sendsse""#] {
        let message = with(&format!(r#""metadata":{{"eventtype":{event_type}}}"#));
        assert_eq!(super::read(message.as_bytes(), ID), Ok(None), "{message}");
    }
}

#[test]
fn trace_parent_is_decoded_as_in_go() {
    let check = |metadata: &str, expected: &str| {
        let message = format!(r#"{{{metadata},"Payload":"e30="}}"#);
        let read = read(message.as_bytes(), ID).expect("readable");
        let Some(Event::Notification { trace_parent, .. }) = read else { panic!("{read:?}") };
        assert_eq!(&*trace_parent, expected, "{message}");
    };
    let event_type = r#""eventtype":"events.SendSSE""#;
    check(&format!(r#""Metadata":{{{event_type},"traceparent":"a"}}"#), "a");
    check(&format!(r#""Metadata":{{{event_type},"traceparent":"a\ud800"}}"#), "a\u{fffd}");
    check(&format!(r#""Metadata":{{{event_type},"traceparent":"a","traceparent":"b"}}"#), "b");
    check(&format!(r#""Metadata":{{{event_type},"traceparent":"a"}},"Metadata":{{{event_type}}}"#), "a");
    check(&format!(r#""Metadata":{{{event_type},"traceparent":null}}"#), "");
    check(&format!(r#""Metadata":{{{event_type},"traceparent":7}}"#), "");
    check(&format!(r#""Metadata":{{{event_type},"TraceParent":"a"}}"#), "");
}

/// Go would use the second type. No publisher writes two, and three of four messages are large ones for other services.
#[test]
fn first_type_decides_about_other_services() {
    let other = r#""Metadata":{"eventtype":"events.Other"}"#;
    let message = format!(r#"{{{other},"Metadata":{{"eventtype":"events.SendSSE"}},"Payload":"e30="}}"#);
    assert_eq!(read(message.as_bytes(), ID), Ok(None));
    let reversed = format!(r#"{{"Metadata":{{"eventtype":"events.SendSSE"}},{other},"Payload":"e30="}}"#);
    assert_eq!(read(reversed.as_bytes(), ID), Ok(None));
    let in_another_case = r#"{"metadata":{"eventtype":"events.Other"},"Payload":"?","x":1e999}"#;
    assert_eq!(read(in_another_case.as_bytes(), ID), Ok(None));
}

proptest! {
    /// An unknown member makes the derived reader fail, so that the reader that follows Go is used.
    #[test]
    fn both_readers_agree(
        users in prop::option::of(prop::collection::vec(prop::option::of(".{0,3}"), 0..4)),
        user in prop::option::of("[a-c]{0,2}"),
        event_type in prop::option::of(".{0,5}"),
        message in prop::option::of(any::<Vec<u8>>()),
        messages in prop::option::of(prop::collection::btree_map("[a-d]{2}([_-][A-D]{2})?", any::<Vec<u8>>(), 0..3)),
        language in prop::option::of("[a-d]{2}"),
    ) {
        let messages = messages.map(|messages| {
            let messages = messages.into_iter().map(|(language, text)| (language, STANDARD.encode(text).into()));
            Value::Object(messages.collect())
        });
        let mut event = json!({
            "UserIDs": users,
            "UserID": user,
            "Type": event_type,
            "Message": message.map(|message| STANDARD.encode(message)),
            "Messages": messages,
            "Language": language,
        });
        let members = event.as_object_mut().expect("an object");
        // The derived reader rejects `null`, which is equivalent to a missing member.
        members.retain(|_, value| !value.is_null());
        let derived = read(envelope(send_sse::TYPE, event.to_string()).as_bytes(), ID);
        event.as_object_mut().expect("an object").insert("Unknown".into(), Value::Null);
        let payload = event.to_string();
        let as_go = read(envelope(send_sse::TYPE, &payload).as_bytes(), ID);
        prop_assert_eq!(&as_go, &derived, "{}", payload);
        let message = envelope(send_sse::TYPE, payload).replacen('{', r#"{"Unknown":[],"#, 1);
        prop_assert_eq!(&read(message.as_bytes(), ID), &derived, "{}", message);
    }
}
