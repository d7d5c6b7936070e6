//! Accounts that are disabled, deleted and enabled again.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{
    client::{Response, Stream, get},
    eventually,
    nats::{Nats, Publisher, envelope},
    service::{Service, token_with},
};

const LANGUAGE: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";
const CHANGED: &str = "events.UserFeatureChanged";

/// Returns a token of einstein that was issued `seconds` from now.
fn token(seconds: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "a token's time is the wall clock's")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    token_with(&json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64, "iat": now.saturating_add_signed(seconds),
        "user": { "id": { "opaque_id": "einstein" } }, "scope": { "user": {} },
    }))
}

/// Returns the event that the platform publishes when a feature of einstein changes.
fn feature(name: &str, value: &str) -> Value {
    json!({
        "Executant": { "idp": "https://idp.example", "opaque_id": "admin", "type": 1 }, "UserID": "einstein",
        "Features": [{ "Name": name, "Value": value, "OldValue": null }], "Timestamp": null,
    })
}

async fn publish(publisher: &Publisher, event_type: &str, event: &Value) {
    publisher.message(&envelope(event_type, event)).await;
}

impl Service {
    async fn follow_with_token(&self, token: &str) -> Stream {
        Stream::open(self.http, "/sse", &[("x-access-token", token)]).await
    }

    async fn get_with_token(&self, token: &str, path: &str) -> Response {
        get(self.http, path, &[("x-access-token", token)]).await
    }
}

/// Checks that the token is rejected by every endpoint.
async fn is_rejected(service: &Service, token: &str) {
    for path in ["/sse", LANGUAGE] {
        let response = service.get_with_token(token, path).await;
        assert_eq!(
            (response.status, response.header("content-type")),
            (401, Some("application/problem+json"))
        );
        assert_eq!(response.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
        let problem: Value = serde_json::from_str(&response.body).expect("JSON");
        let detail = "the token was issued before its user's account was disabled or deleted";
        assert_eq!(problem["detail"], detail);
    }
}

#[tokio::test]
async fn disabling_an_account_ends_streams_and_tokens() {
    let deleted = json!({ "Executant": null, "UserID": "einstein", "Timestamp": null });
    let soft_deleted = json!({ "Executant": null, "UserID": "einstein", "RetentionTime": 1, "Reason": "" });
    for (event_type, event) in [
        ("events.UserDeleted", deleted),
        ("events.UserSoftDeleted", soft_deleted),
        (CHANGED, feature("accountEnabled", "false")),
    ] {
        let nats = Nats::start().await;
        let service = Service::start(&nats, &[]).await;
        let (old, new) = (token(-60), token(60));
        let mut streams = [service.follow_with_token(&old).await, service.follow("einstein").await];
        let mut marie = service.follow("marie").await;
        let publisher = nats.publisher().await;
        publisher.event(&["einstein", "marie"], "t", "before").await;
        publish(&publisher, event_type, &event).await;
        publisher.event(&["einstein", "marie"], "t", "after").await;
        for stream in &mut streams {
            assert_eq!(stream.content().await, "before", "{event_type}");
            assert_eq!(stream.closing_comment().await, "the account was disabled or deleted");
        }
        assert_eq!([marie.content().await, marie.content().await], ["before", "after"]);
        is_rejected(&service, &old).await;

        let mut stream = service.follow_with_token(&new).await;
        publisher.event(&["einstein"], "t", "new").await;
        assert_eq!(stream.content().await, "new", "its token was issued afterwards");
        assert_eq!(service.metric(r#"sse_connections_closed_total{reason="revoked"}"#).await, 2);
        assert_eq!(service.metric(r#"sse_auth_failures_total{reason="revoked"}"#).await, 2);
        assert_eq!(service.metric(r#"sse_events_received_total{outcome="account_changed"}"#).await, 1);
    }
}

#[tokio::test]
async fn enabling_an_account_accepts_its_tokens_again() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let old = token(-60);
    let mut stream = service.follow_with_token(&old).await;
    let publisher = nats.publisher().await;
    // Neither change ends a stream.
    publish(&publisher, CHANGED, &feature("displayname", "false")).await;
    publish(&publisher, CHANGED, &feature("accountEnabled", "true")).await;
    publisher.event(&["einstein"], "t", "still here").await;
    assert_eq!(stream.content().await, "still here");

    publish(&publisher, CHANGED, &feature("accountEnabled", "false")).await;
    assert_eq!(stream.closing_comment().await, "the account was disabled or deleted");
    is_rejected(&service, &old).await;
    publish(&publisher, CHANGED, &feature("accountEnabled", "true")).await;
    eventually("the old token is accepted", async || {
        service.get_with_token(&old, LANGUAGE).await.status == 200
    })
    .await;
    let mut stream = service.follow_with_token(&old).await;
    publisher.event(&["einstein"], "t", "again").await;
    assert_eq!(stream.content().await, "again");
}

#[tokio::test]
async fn new_instance_knows_recently_disabled_accounts() {
    let nats = Nats::start().await;
    drop(Service::start(&nats, &[]).await);
    let publisher = nats.publisher().await;
    publish(&publisher, "events.UserDeleted", &json!({ "UserID": "einstein" })).await;
    let service = Service::start(&nats, &[]).await;
    is_rejected(&service, &token(-60)).await;
    service.follow_with_token(&token(60)).await;
    // Without a history it reads only new events.
    let service = Service::start(&nats, &[("SSE_HISTORY_MAX_AGE", "0s")]).await;
    service.follow_with_token(&token(-60)).await;
}
