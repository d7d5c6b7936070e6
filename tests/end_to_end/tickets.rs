//! Streams that an edge opens with a ticket.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use adapters::outbound::jwt::JwtTickets;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::identity::{IssuedAt, Principal, UserId};
use ports::outbound::{Clock, Tickets as _};
use serde_json::{Value, json};

use crate::{
    client::{Response, Stream, get},
    eventually,
    nats::{Nats, Publisher, envelope},
    service::{SECRET, Service, token, token_with},
    transport::Server,
};

const STREAM: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";
const TICKET: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/ticket";
const LANGUAGE: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";
/// Accepts tickets from this machine.
pub(crate) const ON: &[(&str, &str)] = &[("SSE_TICKET_CLIENTS", "127.0.0.1,::1")];

/// A clock that is this much slow.
struct SlowClock(Duration);

impl Clock for SlowClock {
    fn now(&self) -> Instant {
        unreachable!("tickets have the time of the wall clock")
    }

    fn unix_time(&self) -> Duration {
        now().saturating_sub(self.0)
    }
}

#[expect(clippy::disallowed_methods, reason = "a ticket's time is the wall clock's")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Returns a token of an identity provider, as the platform's proxy has verified it.
fn identity_token(session: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("Bearer {}.{}.signature", part(json!({ "alg": "RS256" })), part(json!({ "sid": session })))
}

impl Server {
    async fn request_ticket(self, headers: &[(&str, &str)]) -> String {
        let response = get(self, TICKET, headers).await;
        assert_eq!((response.status, response.header("cache-control")), (204, Some("no-store")));
        response.header("x-sse-ticket").expect("a ticket").to_owned()
    }

    /// Opens a stream of einstein with a ticket of this session.
    pub(crate) async fn follow_in_session(self, session: &str) -> Stream {
        let (token, identity) = (token("einstein"), identity_token(session));
        let ticket = self.request_ticket(&[("x-access-token", &token), ("authorization", &identity)]).await;
        self.follow_with_ticket(&ticket).await
    }

    async fn follow_with_ticket(self, ticket: &str) -> Stream {
        Stream::open(self, STREAM, &[("x-sse-ticket", ticket)]).await
    }
}

/// Checks that a request is rejected with 401 and this detail.
fn is_rejected(response: &Response, detail: &str) {
    assert_eq!((response.status, response.header("content-type")), (401, Some("application/problem+json")));
    let problem: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(problem["detail"], detail);
}

pub(crate) async fn log_out(publisher: &Publisher, session: Option<&str>) {
    let content = json!({ "userid": "einstein", "timestamp": "seconds:1", "sessionid": session });
    publisher.event(&["einstein"], "backchannel-logout", &content.to_string()).await;
}

pub(crate) async fn ends_at_logout(stream: &mut Stream) {
    assert!(stream.content().await.contains("sessionid"));
    assert_eq!(stream.closing_comment().await, "the user has logged out");
}

#[tokio::test]
async fn ticket_opens_streams_of_its_user() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, ON).await;
    let ticket = service.http.request_ticket(&[("x-access-token", &token("einstein"))]).await;
    let mut streams =
        [service.http.follow_with_ticket(&ticket).await, service.http.follow_with_ticket(&ticket).await];
    let publisher = nats.publisher().await;
    publisher.event(&["marie"], "t", "for marie").await;
    publisher.event(&["einstein"], "t", "for einstein").await;
    for stream in &mut streams {
        assert_eq!(stream.content().await, "for einstein");
    }
    assert_eq!(service.metric("sse_tickets_issued_total").await, 1);
}

#[tokio::test]
async fn ticket_opens_nothing_else() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, ON);
    let ticket = service.http.request_ticket(&[("x-access-token", &token("einstein"))]).await;
    for path in [TICKET, "/sse/ticket", LANGUAGE] {
        let response = get(service.http, path, &[("x-sse-ticket", &ticket)]).await;
        is_rejected(&response, "send the access token in x-access-token");
    }
    for path in [STREAM, "/sse", TICKET, LANGUAGE] {
        let bearer = format!("Bearer {ticket}");
        for header in [("x-access-token", &*ticket), ("authorization", &*bearer)] {
            is_rejected(&get(service.http, path, &[header]).await, "the token is not valid");
        }
    }
}

/// The request has a valid token too, which does not count.
#[tokio::test]
async fn invalid_ticket_is_rejected() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, ON);
    let user = UserId::try_new("einstein").expect("a user id");
    let principal = Principal {
        user,
        issued_at: IssuedAt::UNKNOWN,
        expires_at: now() + Duration::from_hours(1),
        session_id: None,
    };
    let ticket = |secret, seconds| {
        let clock = Arc::new(SlowClock(Duration::from_secs(seconds)));
        JwtTickets::new(secret, None, clock).issue(&principal, None)
    };
    let token = token("einstein");
    for (ticket, detail) in [
        (&*ticket(SECRET, 40), "the ticket has expired"),
        (&ticket("another secret", 0), "the ticket is not valid"),
        (&token, "the ticket is not valid"),
        ("", "the ticket is not valid"),
        ("\u{e9}", "the ticket is not valid"),
    ] {
        for path in [STREAM, "/sse"] {
            let headers = [("x-sse-ticket", ticket), ("x-access-token", &*token)];
            is_rejected(&get(service.http, path, &headers).await, detail);
        }
    }
    assert_eq!(service.metric(r#"sse_auth_failures_total{reason="ticket_expired"}"#).await, 2);
    assert_eq!(service.metric(r#"sse_auth_failures_total{reason="ticket_invalid"}"#).await, 8);
    let valid = ticket(SECRET, 0);
    let twice = [("x-sse-ticket", &*valid); 2];
    is_rejected(&get(service.http, STREAM, &twice).await, "the ticket is not valid");
    service.http.follow_with_ticket(&valid).await;
}

#[tokio::test]
async fn ticket_from_another_address_is_rejected() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_TICKET_CLIENTS", "192.0.2.0/24")]);
    let token = token("einstein");
    let ticket = service.http.request_ticket(&[("x-access-token", &token)]).await;
    let headers = [("x-sse-ticket", &*ticket), ("x-access-token", &token), ("x-forwarded-for", "192.0.2.1")];
    let response = get(service.http, STREAM, &headers).await;
    is_rejected(&response, "tickets are not accepted from this address (http.ticket_clients)");
    assert_eq!(service.metric(r#"sse_auth_failures_total{reason="ticket_client"}"#).await, 1);
    service.follow("einstein").await;
}

#[tokio::test]
async fn tickets_are_off_by_default() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    for path in [TICKET, "/sse/ticket"] {
        let response = get(service.http, path, &[("x-access-token", &token("einstein"))]).await;
        assert_eq!((response.status, response.header("x-sse-ticket")), (404, None));
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
    }
    service.follow_with("einstein", &[("x-sse-ticket", "ignored")]).await;
}

#[tokio::test]
async fn ticket_requires_a_token_for_streams() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, ON);
    is_rejected(&get(service.http, TICKET, &[]).await, "send the access token in x-access-token");
    let share = token_with(&json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64,
        "user": { "id": { "opaque_id": "einstein" } }, "scope": { "publicshare:1": {} },
    }));
    assert_eq!(get(service.http, TICKET, &[("x-access-token", &share)]).await.status, 403);
}

#[tokio::test]
async fn stream_ends_with_the_token_of_its_ticket() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, ON);
    // The leeway of five seconds ends soon.
    let token = token_with(&json!({
        "aud": ["reva"], "exp": now().as_secs() - 1,
        "user": { "id": { "opaque_id": "einstein" } }, "scope": { "user": {} },
    }));
    let ticket = service.http.request_ticket(&[("x-access-token", &token)]).await;
    let mut stream = service.http.follow_with_ticket(&ticket).await;
    assert_eq!(stream.closing_comment().await, "the token has expired or is about to");
    is_rejected(&get(service.http, STREAM, &[("x-sse-ticket", &ticket)]).await, "the ticket has expired");
}

#[tokio::test]
async fn logout_of_a_session_spares_other_sessions() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, ON).await;
    let [mut one, mut two] =
        [service.http.follow_in_session("1").await, service.http.follow_in_session("2").await];
    let mut unknown = service.follow("einstein").await;
    let publisher = nats.publisher().await;
    log_out(&publisher, Some("1")).await;
    for stream in [&mut one, &mut unknown] {
        ends_at_logout(stream).await;
    }
    publisher.event(&["einstein"], "t", "still here").await;
    assert!(two.content().await.contains("sessionid"));
    assert_eq!(two.content().await, "still here");
    log_out(&publisher, None).await;
    ends_at_logout(&mut two).await;
}

/// A client of another session returns to the event before the logout.
#[tokio::test]
async fn missed_logout_of_another_session_ends_no_stream() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, ON).await;
    let publisher = nats.publisher().await;
    let mut first = service.http.follow_in_session("2").await;
    publisher.event(&["einstein"], "t", "first").await;
    let id = first.event().await.field("id").expect("an id");
    log_out(&publisher, Some("1")).await;
    publisher.event(&["einstein"], "t", "last").await;
    let (token, identity) = (token("einstein"), identity_token("2"));
    let ticket =
        service.http.request_ticket(&[("x-access-token", &token), ("authorization", &identity)]).await;
    let headers = [("x-sse-ticket", &*ticket), ("last-event-id", &*id)];
    let mut stream = Stream::open(service.http, STREAM, &headers).await;
    assert!(stream.content().await.contains("sessionid"));
    assert_eq!(stream.content().await, "last");
}

#[tokio::test]
async fn ticket_of_a_disabled_account_is_rejected() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, ON).await;
    let ticket = service.http.request_ticket(&[("x-access-token", &token("einstein"))]).await;
    let mut stream = service.http.follow_with_ticket(&ticket).await;
    let deleted = envelope("events.UserDeleted", &json!({ "UserID": "einstein" }));
    nats.publisher().await.message(&deleted).await;
    assert_eq!(stream.closing_comment().await, "the account was disabled or deleted");
    let detail = "the ticket's token was issued before its user's account was disabled or deleted";
    is_rejected(&get(service.http, STREAM, &[("x-sse-ticket", &ticket)]).await, detail);
    eventually("counted", async || {
        service.metric(r#"sse_auth_failures_total{reason="ticket_revoked"}"#).await == 1
    })
    .await;
}
