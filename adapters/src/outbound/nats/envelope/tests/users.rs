//! Changes of users: language and account.

use super::*;

/// Returns the user and the changes.
fn user_changes(event: &Event) -> (&str, &[Result<UserChange, Unreadable>]) {
    match event {
        Event::UserChanged { user, changes } => (user.as_str(), changes),
        Event::Notification { .. } => panic!("{event:?}"),
    }
}

#[test]
fn captured_language_choices_are_decoded() {
    let messages = captured(include_str!("../../../../../../tests/wire/session.jsonl"));
    let read = messages.iter().filter_map(|(_, message)| read(message.as_bytes(), ID).expect("readable"));
    let chosen: Vec<_> = read.filter(|event| matches!(event, Event::UserChanged { .. })).collect();
    let of = |user: &str, language: &str| {
        let language = LanguageTag::try_new(language).expect("a language tag");
        let changes = vec![Ok(UserChange::Language(Some(language)))];
        Event::UserChanged { user: UserId::try_new(user).expect("a user id"), changes }
    };
    let expected =
        [of("b5b483a2-86db-45b1-8f22-407719f162fc", "de"), of("b1f74ec4-dd7e-11ef-a543-03775734d0f7", "fr")];
    assert_eq!(chosen, expected);
}

#[test]
fn only_language_and_account_are_read() {
    let check = |payload: &str, expected: Result<&[&str], &str>| {
        let read = read(envelope(user_feature_changed::TYPE, payload).as_bytes(), ID);
        let changes = read.as_ref().map(|read| read.as_ref().map_or(&[][..], |event| user_changes(event).1));
        let changes = changes.map(|changes| {
            let texts = changes.iter().map(|change| match change {
                Ok(UserChange::Account { is_enabled }) => format!("enabled: {is_enabled}"),
                Ok(UserChange::Language(None)) => "no language".to_owned(),
                Ok(UserChange::Language(Some(language))) => language.to_string(),
                Err(error) => error.to_string(),
            });
            texts.collect::<Vec<_>>()
        });
        let expected = expected.map(|changes| changes.iter().map(ToString::to_string).collect());
        assert_eq!(changes.map_err(ToString::to_string), expected.map_err(Into::into), "{payload}");
    };
    let of = |user: &str, features: &str| format!(r#"{{"UserID":{user},"Features":{features}}}"#);
    let feature = |name: &str, value: &str| of("\"a\"", &format!(r#"[{{"Name":"{name}","Value":{value}}}]"#));

    check(&feature("preferredLanguage", "\"pt-br\""), Ok(&["pt-BR"]));
    check(&feature("preferredLanguage", "\"pt_BR\""), Ok(&["pt-BR"]));
    check(&feature("preferredLanguage", "\"\""), Ok(&["no language"]));
    check(&feature("preferredLanguage", "null"), Ok(&["no language"]));
    let invalid = "the chosen language is not a language tag";
    check(&feature("preferredLanguage", "\"no language\""), Ok(&[invalid]));
    check(&feature("preferredLanguage", "7"), Ok(&["the chosen language is not a string"]));
    let two = r#"[{"Name":"preferredLanguage","Value":"de"},{"Name":"x","Value":1},{"Name":"preferredLanguage","Value":"fr"}]"#;
    check(&of("\"a\"", two), Ok(&["fr"]));

    check(&feature("accountEnabled", "\"false\""), Ok(&["enabled: false"]));
    check(&feature("accountEnabled", "\"true\""), Ok(&["enabled: true"]));
    for value in ["\"FALSE\"", "\"\"", "null", "false", "[]"] {
        let unknown = "`accountEnabled` is neither `true` nor `false`";
        check(&feature("accountEnabled", value), Ok(&[unknown]));
    }
    let both = r#"[{"Name":"preferredLanguage","Value":"?"},{"Name":"accountEnabled","Value":"true"},{"Name":"accountEnabled","Value":"false","OldValue":"true"}]"#;
    check(&of("\"a\"", both), Ok(&["enabled: false", invalid]));

    check(&of("\"\"", two), Err("invalid user id"));
    check(&of("[\"a\"]", two), Err("the payload does not match the event type"));
    check(&feature("displayname", "\"false\""), Ok(&[]));
    check(&of("\"a\"", "null"), Ok(&[]));
    check("{}", Ok(&[]));
    check("[]", Err("the payload does not match the event type"));
}

#[test]
fn changes_are_decoded_as_in_go() {
    let check = |features: &str, expected: &[&str]| {
        let payload = format!(r#"{{"userid":"a",{features}}}"#);
        let read = read(envelope(user_feature_changed::TYPE, &payload).as_bytes(), ID).expect("readable");
        let changes = read.as_ref().map_or(&[][..], |event| user_changes(event).1);
        let changes = changes.iter().map(|change| match change {
            Ok(change) => format!("{change:?}"),
            Err(error) => error.to_string(),
        });
        let changes: Vec<_> = changes.collect();
        assert_eq!(changes, expected, "{payload}");
    };
    let [de, disabled] = [r#"Language(Some("de"))"#, "Account { is_enabled: false }"];
    let unreadable = "the payload does not match the event type";
    let language = r#"{"Name":"preferredLanguage","Value":"de"}"#;
    check(&format!(r#""FEATURES":[null,{language},null]"#), &[de]);
    check(r#""Features":[{"name":"preferredLanguage","VALUE":"de","Value":null}]"#, &[de]);
    check(
        r#""Features":[{"Name":"preferredLanguage","Value":"de\ud800"}]"#,
        &["the chosen language is not a language tag"],
    );
    check(&format!(r#""Features":null,"Features":[{language}]"#), &[de]);
    check(&format!(r#""Features":[{language}],"Features":null"#), &[]);
    // Go reads the second list into the first one.
    check(
        &format!(r#""Features":[{language}],"Features":[{{"Name":"accountEnabled"}}]"#),
        &["`accountEnabled` is neither `true` nor `false`"],
    );
    check(
        &format!(r#""Features":[{language}],"Features":[{{}},{{"Name":"accountEnabled","Value":"false"}}]"#),
        &[disabled, de],
    );
    // Go rejects these events as a whole.
    check(&format!(r#""Features":[7,{language},["x"]]"#), &[de, unreadable, unreadable]);
    check(&format!(r#""Features":[{{"Name":7,"Value":"x"}},{language}]"#), &[de, unreadable]);
    check(&format!(r#""Features":[{{"Name":"x","Value":7,"OldValue":7}},{language}],"Timestamp":7"#), &[de]);
}

#[test]
fn deleted_user_counts_as_disabled() {
    let check = |event_type: &str, payload: &str, expected: Result<Option<&str>, &str>| {
        let read = read(envelope(event_type, payload).as_bytes(), ID);
        let user = read.as_ref().map(|read| {
            read.as_ref().map(|event| {
                let (user, changes) = user_changes(event);
                assert_eq!(changes, [Ok(UserChange::Account { is_enabled: false })]);
                user
            })
        });
        assert_eq!(user.map_err(ToString::to_string), expected.map_err(Into::into), "{event_type} {payload}");
    };
    let deleted = r#"{"Executant":{"idp":"https://idp.example","opaque_id":"admin","type":1},"UserID":"einstein","Timestamp":null}"#;
    let soft_deleted = r#"{"Executant":null,"UserID":"einstein","Reason":"User deleted via Graph API","RetentionTime":2592000000000000,"Timestamp":{"seconds":1795451122}}"#;
    check("events.UserDeleted", deleted, Ok(Some("einstein")));
    check("events.UserSoftDeleted", soft_deleted, Ok(Some("einstein")));
    check("events.UserCreated", deleted, Ok(None));
    check("events.UserDeleted", r#"{"UserID":""}"#, Err("invalid user id"));
    check("events.UserDeleted", "{}", Err("invalid user id"));
    check("events.UserDeleted", r#"{"UserID":7}"#, Err("the payload does not match the event type"));
    check("events.UserDeleted", "null", Err("invalid user id"));
    check("events.UserDeleted", r#"["a"]"#, Err("the payload does not match the event type"));
    check("events.UserDeleted", r#"{"userid":"a\ud800","UserID":null}"#, Ok(Some("a\u{fffd}")));
}
