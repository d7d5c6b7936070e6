//! Each user reads events in the chosen language, on open streams of every instance.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    client::{self, Response, Stream},
    eventually,
    nats::{Nats, Publisher, envelope},
    proxy::Proxy,
    service::{Service, token, token_with},
};

const PATH: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";

/// Publishes an event in English, German and French.
async fn greet(publisher: &Publisher, user: &str, number: u32) {
    let text = |text: &str| STANDARD.encode(format!("{text} {number}"));
    let event = json!({
        "UserIDs": [user], "Type": "t", "Message": text("Hello"), "Language": "en",
        "Messages": { "de": text("Hallo"), "fr": text("Bonjour") },
    });
    publisher.message(&envelope("events.SendSSE", &event)).await;
}

/// Publishes the event of the platform for a language that a user sets in the profile.
async fn set_in_profile(publisher: &Publisher, user: &str, language: &str) {
    let features = json!([{ "Name": "preferredLanguage", "Value": language, "OldValue": null }]);
    let event = json!({ "Executant": {}, "UserID": user, "Features": features });
    publisher.message(&envelope("events.UserFeatureChanged", &event)).await;
}

impl Service {
    async fn request_language(&self, method: Method, user: &str, body: &str) -> Response {
        let token = token(user);
        let headers =
            [("x-access-token", &*token), ("content-type", "application/json"), ("accept-language", "it")];
        let response = client::request_with(self.http, method, PATH, &headers, body.to_owned()).await;
        if response.status == 200 {
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
        response
    }

    pub(crate) async fn choose(&self, user: &str, language: &str) {
        let body = json!({ "language": language }).to_string();
        let response = self.request_language(Method::PUT, user, &body).await;
        assert_eq!(response.status, 200, "{}", response.body);
        assert_eq!(read(&response), json!({ "language": language, "effective": language }));
    }

    pub(crate) async fn language(&self, user: &str) -> Value {
        let response = self.request_language(Method::GET, user, "").await;
        assert_eq!(response.status, 200, "{}", response.body);
        read(&response)["language"].take()
    }

    /// Waits until this instance knows a choice as well.
    pub(crate) async fn has_choice(&self, user: &str, language: Value) {
        eventually("the choice", async || self.language(user).await == language).await;
    }
}

fn read(response: &Response) -> Value {
    serde_json::from_str(&response.body).expect("JSON")
}

async fn comment(stream: &mut Stream) -> String {
    stream.next().await.expect("a comment").0
}

#[tokio::test]
async fn choice_applies_on_all_instances() {
    let nats = Nats::start().await;
    let [one, two] = [Service::start(&nats, &[]).await, Service::start(&nats, &[]).await];
    let publisher = nats.publisher().await;
    let mut streams = [
        one.follow_with("einstein", &[("accept-language", "fr-CA, fr;q=0.5")]).await,
        two.follow("einstein").await,
        two.follow_with("einstein", &[("accept-language", "sv, de;q=0.1")]).await,
    ];
    let languages =
        streams.each_ref().map(|stream| stream.headers["content-language"].to_str().expect("ASCII"));
    assert_eq!(languages, ["fr-CA", "en", "sv"]);
    greet(&publisher, "einstein", 1).await;
    for (stream, expected) in streams.iter_mut().zip(["Bonjour 1", "Hello 1", "Hallo 1"]) {
        assert_eq!(stream.content().await, expected);
    }

    one.choose("einstein", "de-AT").await;
    two.has_choice("einstein", json!("de-AT")).await;
    greet(&publisher, "einstein", 2).await;
    for stream in &mut streams {
        assert_eq!(comment(stream).await, ": language de-AT\n\n");
        assert_eq!(stream.content().await, "Hallo 2");
    }
    let new = two.follow_with("einstein", &[("accept-language", "fr")]).await;
    assert_eq!(new.headers["content-language"], "de-AT");

    let response = two.request_language(Method::DELETE, "einstein", "").await;
    assert_eq!((response.status, read(&response)), (200, json!({ "effective": "it" })));
    one.has_choice("einstein", json!(null)).await;
    greet(&publisher, "einstein", 3).await;
    let expected = [("fr-CA", "Bonjour 3"), ("en", "Hello 3"), ("sv", "Hallo 3")];
    for (stream, (language, content)) in streams.iter_mut().zip(expected) {
        assert_eq!(comment(stream).await, format!(": language {language}\n\n"));
        assert_eq!(stream.content().await, content);
    }
}

/// `all` addresses everyone, also when a user has that name.
#[tokio::test]
async fn event_for_all_arrives_once_in_each_language() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    let mut streams = [
        service.follow_with("einstein", &[("accept-language", "fr")]).await,
        service.follow("all").await,
        service.follow_with("marie", &[("accept-language", "de")]).await,
    ];
    greet(&publisher, "all", 1).await;
    publisher.event(&["marie", "all"], "t", "2").await;
    for (stream, greeting) in streams.iter_mut().zip(["Bonjour 1", "Hello 1", "Hallo 1"]) {
        assert_eq!((stream.content().await.as_str(), stream.content().await.as_str()), (greeting, "2"));
    }
    // A client that reconnects to a new instance.
    let service = Service::start(&nats, &[]).await;
    let first = opening(&service).await;
    let mut returning =
        service.follow_with("richard", &[("last-event-id", &first), ("accept-language", "de")]).await;
    assert_eq!(returning.content().await, "2");
    publisher.event(&["marie"], "t", "3").await;
    publisher.event(&["all"], "t", "4").await;
    for (stream, expected) in streams.iter_mut().zip([&["4"][..], &["4"], &["3", "4"]]) {
        for content in expected {
            assert_eq!(stream.content().await, *content);
        }
    }
    assert_eq!(returning.content().await, "4");
}

#[tokio::test]
async fn default_language_applies_without_a_preference() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("OCIS_DEFAULT_LANGUAGE", "de")]).await;
    let mut stream = service.follow("einstein").await;
    assert_eq!(stream.headers["content-language"], "de");
    greet(&nats.publisher().await, "einstein", 1).await;
    assert_eq!(stream.content().await, "Hallo 1");
}

#[tokio::test]
async fn profile_language_applies_from_the_next_event() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let publisher = nats.publisher().await;
    // Captured from the platform: two users set their languages, among other changes.
    let users = ["b5b483a2-86db-45b1-8f22-407719f162fc", "b1f74ec4-dd7e-11ef-a543-03775734d0f7"];
    for line in include_str!("../wire/session.jsonl").lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        publisher.message(line["data"].as_str().expect("data")).await;
    }
    service.has_choice(users[0], json!("de")).await;
    service.has_choice(users[1], json!("fr")).await;

    let mut stream = service.follow("einstein").await;
    for (number, (language, announced, expected)) in
        (1..).zip([("de", "de", "Hallo"), ("fr", "fr", "Bonjour"), ("", "en", "Hello")])
    {
        set_in_profile(&publisher, "einstein", language).await;
        greet(&publisher, "einstein", number).await;
        assert_eq!(comment(&mut stream).await, format!(": language {announced}\n\n"));
        assert_eq!(stream.content().await, format!("{expected} {number}"));
    }
    let counted = r#"sse_events_received_total{outcome="language_chosen"}"#;
    assert_eq!(service.metric(counted).await, 5);
}

#[tokio::test]
async fn latest_choice_wins_from_any_source() {
    let nats = Nats::start().await;
    let publisher = nats.publisher().await;
    let first = Service::start(&nats, &[]).await;
    set_in_profile(&publisher, "einstein", "de").await;
    first.has_choice("einstein", json!("de")).await;
    first.choose("einstein", "fr").await;
    first.choose("marie", "de").await;
    set_in_profile(&publisher, "marie", "fr").await;
    first.has_choice("marie", json!("fr")).await;
    drop(first);
    // A new instance reads the last five minutes of events and the stored choices.
    let second = Service::start(&nats, &[]).await;
    second.has_choice("einstein", json!("fr")).await;
    second.has_choice("marie", json!("fr")).await;
    greet(&publisher, "einstein", 1).await;
    second.has_read(1).await;
    let mut stream = second.follow_with("einstein", &[("last-event-id", &opening(&second).await)]).await;
    assert_eq!(stream.content().await, "Bonjour 1");
    // The same holds for an instance that does not read them again, after a NATS outage.
    drop((stream, second));
    let mut nats = nats;
    nats.kill().await;
    nats.up().await;
    let third = Service::start(&nats, &[("SSE_HISTORY_MAX_AGE", "0s")]).await;
    third.has_choice("einstein", json!("fr")).await;
    third.has_choice("marie", json!("fr")).await;
}

/// Returns the id just before the position of a new stream.
async fn opening(service: &Service) -> String {
    let opening = service.follow("somebody").await.block().await.expect("an opening");
    let id = opening.field("id").expect("an id");
    let (incarnation, sequence) = id.split_once('-').expect("two parts");
    format!("{incarnation}-{}", sequence.parse::<u64>().expect("a number") - 1)
}

#[tokio::test]
async fn without_nats_only_new_choices_fail() {
    let mut nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    service.choose("einstein", "de").await;
    let mut stream = service.follow("einstein").await;
    nats.kill().await;
    let response = service.request_language(Method::PUT, "einstein", r#"{"language":"fr"}"#).await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(service.language("einstein").await, "de");
    nats.up().await;
    service.is_ready().await;
    greet(&nats.publisher().await, "einstein", 1).await;
    assert_eq!(stream.content().await, "Hallo 1");
    service.choose("einstein", "fr").await;
    greet(&nats.publisher().await, "einstein", 2).await;
    assert_eq!(comment(&mut stream).await, ": language fr\n\n");
    assert_eq!(stream.content().await, "Bonjour 2");
}

#[tokio::test]
async fn choices_during_an_outage_are_applied_later() {
    let nats = Nats::start().await;
    let proxy = Proxy::to(nats.address().parse().expect("an address")).await;
    let cut_off = Service::start_at(&proxy.address.to_string(), &[]);
    cut_off.is_ready().await;
    let other = Service::start(&nats, &[]).await;
    proxy.blackhole(true);
    other.choose("einstein", "de").await;
    proxy.cut();
    proxy.blackhole(false);
    cut_off.has_choice("einstein", json!("de")).await;
}

#[tokio::test]
async fn user_names_can_be_arbitrary() {
    let nats = Nats::start().await;
    let [one, two] = [Service::start(&nats, &[]).await, Service::start(&nats, &[]).await];
    for user in ["müller@example.org", "a.b.*.>", " ", &"u".repeat(512)] {
        one.choose(user, "de").await;
        two.has_choice(user, json!("de")).await;
    }
    assert_eq!(one.language("a").await, json!(null));
}

#[tokio::test]
async fn invalid_choice_is_rejected_with_its_field() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    for (body, mentioned) in [
        (r#"{"language":"de_AT"}"#, "#/language"),
        (r#"{"language":"*"}"#, "#/language"),
        (r#"{"language":""}"#, "#/language"),
        (r#"{"language":7}"#, "language"),
        (r#"{"language":null}"#, "language"),
        ("{}", "language"),
        ("[]", "language"),
        ("no JSON", "language"),
        ("", "language"),
    ] {
        let response = service.request_language(Method::PUT, "einstein", body).await;
        assert_eq!(response.status, 422, "{body}: {}", response.body);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        let problem = read(&response);
        assert_eq!(problem["status"], 422);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(mentioned), "{body}: {detail}");
    }
    let problem = read(&service.request_language(Method::PUT, "einstein", r#"{"language":"de_AT"}"#).await);
    assert_eq!(problem["errors"][0]["pointer"], "#/language");
    let long = json!({ "language": "x".repeat(5000) }).to_string();
    assert_eq!(service.request_language(Method::PUT, "einstein", &long).await.status, 413);
    assert_eq!(service.language("einstein").await, json!(null));
}

#[tokio::test]
async fn only_the_user_can_choose() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let get_language = async |headers: &[(&str, &str)]| {
            let json = [("content-type", "application/json")];
            let headers: Vec<_> = headers.iter().chain(&json).copied().collect();
            client::request_with(service.http, method.clone(), PATH, &headers, r#"{"language":"de"}"#).await
        };
        let response = get_language(&[]).await;
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(get_language(&[("x-access-token", "no token")]).await.status, 401);
        let share = token_with(&json!({
            "aud": ["reva"], "exp": 4_000_000_000_u64,
            "user": { "id": { "opaque_id": "einstein" } }, "scope": { "publicshare:x": {} },
        }));
        assert_eq!(get_language(&[("x-access-token", &share)]).await.status, 403);
    }
    let headers = [("x-access-token", &*token("einstein")), ("content-type", "text/plain")];
    let text = client::request_with(service.http, Method::PUT, PATH, &headers, r#"{"language":"de"}"#).await;
    assert_eq!(text.status, 415);
    for method in [Method::POST, Method::PATCH] {
        let response = service.request_language(method, "einstein", "").await;
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD, PUT, DELETE")));
    }
    assert_eq!(service.language("einstein").await, json!(null));
}

#[tokio::test]
async fn bucket_deletions_apply_and_invalid_entries_do_not() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    service.choose("einstein", "de").await;
    let bucket = nats.publisher().await.jetstream.get_key_value("sse-languages").await.expect("the bucket");
    for (key, value) in [("no.key", "{}"), ("ME", "no JSON"), ("ME", r#"{"language":"d e"}"#), ("ME", "{}")] {
        bucket.put(key, value.into()).await.expect("put");
    }
    let key = data_encoding::BASE32_NOPAD.encode(b"einstein");
    bucket.delete(&key).await.expect("deleted");
    service.has_choice("einstein", json!(null)).await;
    bucket.put(&key, r#"{"language":"fr"}"#.into()).await.expect("put");
    service.has_choice("einstein", json!("fr")).await;
}
