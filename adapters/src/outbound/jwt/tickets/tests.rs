//! Tests of the tickets, and of tokens in their place.

use std::time::Instant;

use ports::{obligations, outbound::TokenVerifier as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::outbound::jwt::{RevaTokenIssuer, RevaTokens};

const SECRET: &str = "a secret of at least thirty-two bytes";
/// A time far from the machine's.
const NOW: Duration = Duration::from_mins(50_000_000);

/// A clock that stands still at this time after [`NOW`].
struct FixedClock(Duration);

impl Clock for FixedClock {
    fn now(&self) -> Instant {
        unreachable!("tickets are verified by the wall clock")
    }

    fn unix_time(&self) -> Duration {
        NOW + self.0
    }
}

fn tickets(secret: &str, previous: Option<&str>) -> JwtTickets {
    JwtTickets::new(secret, previous, Arc::new(FixedClock(Duration::ZERO)))
}

fn tickets_after(seconds: u64) -> JwtTickets {
    JwtTickets::new(SECRET, None, Arc::new(FixedClock(Duration::from_secs(seconds))))
}

fn principal() -> Principal {
    let user = UserId::try_new("einstein").expect("a user id");
    let (issued_at, expires_at) = (IssuedAt::new(NOW), NOW + Duration::from_secs(1000));
    Principal { user, issued_at, expires_at, session_id: None }
}

fn ticket() -> String {
    tickets(SECRET, None).issue(&principal(), None)
}

fn redeem(ticket: &str) -> Result<Principal, TicketRejected> {
    tickets(SECRET, None).redeem(ticket)
}

fn claims() -> Value {
    let seconds = NOW.as_secs();
    json!({
        "aud": "ocis-sse", "sub": "einstein", "iat": seconds, "exp": seconds + 30,
        "token_iat": seconds, "token_exp": seconds + 1000,
    })
}

fn encode(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn sign_with(key: &[u8], header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key)).expect("signs")
}

fn sign(claims: &Value) -> String {
    sign_with(&derived(SECRET), &Header::new(Algorithm::HS256), claims)
}

fn token() -> String {
    let user = UserId::try_new("einstein").expect("a user id");
    RevaTokenIssuer::new(SECRET).issue(&user, 4_000_000_000).expect("signs")
}

/// Returns a token of an identity provider, signed by nobody.
fn identity_token(claims: &Value) -> String {
    format!("{}.signature", encode(&json!({ "alg": "RS256" }), claims))
}

#[test]
fn meet_the_obligations_of_their_port() {
    let identity_token = |session: &str| identity_token(&json!({ "sid": session, "aud": ["web"] }));
    obligations::tickets(&tickets(SECRET, None), &token(), identity_token);
}

#[test]
fn each_claim_is_verified() {
    let check = |name: &str, change: fn(&mut Value), expected: Result<&str, TicketRejected>| {
        let mut claims = claims();
        change(&mut claims);
        let user = redeem(&sign(&claims)).map(|principal| principal.user.to_string());
        assert_eq!(user, expected.map(Into::into), "{name}");
    };
    let (invalid, expired) = (Err(TicketRejected::Invalid), Err(TicketRejected::Expired));
    check("unchanged", |_| {}, Ok("einstein"));
    check("audience of the platform", |claims| claims["aud"] = json!("reva"), invalid);
    check("no audience", |claims| drop(claims.as_object_mut().unwrap().remove("aud")), invalid);
    check("no user", |claims| drop(claims.as_object_mut().unwrap().remove("sub")), invalid);
    check("empty user", |claims| claims["sub"] = json!(""), invalid);
    check("no exp", |claims| drop(claims.as_object_mut().unwrap().remove("exp")), invalid);
    check("expired", |claims| claims["exp"] = json!(1), expired);
    check("no end", |claims| drop(claims.as_object_mut().unwrap().remove("token_exp")), invalid);
    check("token expired", |claims| claims["token_exp"] = json!(1), expired);
    check("end as text", |claims| claims["token_exp"] = json!("soon"), invalid);
    check("no time of issue", |claims| drop(claims.as_object_mut().unwrap().remove("token_iat")), invalid);
}

#[test]
fn only_hs256_with_the_derived_key_is_accepted() {
    let header = Header::new(Algorithm::HS256);
    let critical = Header { crit: Some(vec!["x".into()]), ..header.clone() };
    for (name, ticket) in [
        ("another secret", sign_with(&derived("another secret"), &header, &claims())),
        ("the secret itself", sign_with(SECRET.as_bytes(), &header, &claims())),
        ("HS384", sign_with(&derived(SECRET), &Header::new(Algorithm::HS384), &claims())),
        ("a critical extension", sign_with(&derived(SECRET), &critical, &claims())),
        ("none", format!("{}.", encode(&json!({ "alg": "none" }), &claims()))),
        ("a token of the platform", token()),
    ] {
        assert_eq!(redeem(&ticket), Err(TicketRejected::Invalid), "{name}");
    }
}

/// HKDF with SHA-256, an empty salt and the label of tickets, computed by another implementation.
#[test]
fn key_is_derived_with_hkdf() {
    let hex = data_encoding::HEXLOWER.encode(&derived(SECRET));
    assert_eq!(hex, "c02835a9dd86b7d643e146d42c8686f408b5d87d15e5abf68d0f57c4d732dbd2");
}

#[test]
fn ticket_is_no_token() {
    let tokens = RevaTokens::new(SECRET, None, Arc::new(FixedClock(Duration::ZERO)));
    assert!(tokens.verify(&token()).is_ok());
    assert!(tokens.verify(&ticket()).is_err());
}

#[test]
fn is_valid_for_thirty_seconds_plus_leeway() {
    let ticket = ticket();
    assert_eq!(tickets_after(34).redeem(&ticket), Ok(principal()));
    assert_eq!(tickets_after(35).redeem(&ticket), Err(TicketRejected::Expired));
}

#[test]
fn is_valid_no_longer_than_its_token() {
    let expires_at = NOW + Duration::from_secs(10);
    let ticket = tickets(SECRET, None).issue(&Principal { expires_at, ..principal() }, None);
    assert_eq!(tickets_after(9).redeem(&ticket).map(|principal| principal.expires_at), Ok(expires_at));
    assert_eq!(tickets_after(10).redeem(&ticket), Err(TicketRejected::Expired));
}

#[test]
fn previous_secret_is_accepted() {
    let ticket = ticket();
    let rotated = tickets("another secret", Some(SECRET));
    assert_eq!(rotated.redeem(&ticket), Ok(principal()));
    assert_eq!(redeem(&rotated.issue(&principal(), None)), Err(TicketRejected::Invalid));
    rotated.set_secrets("another secret", None);
    assert_eq!(rotated.redeem(&ticket), Err(TicketRejected::Invalid));
    rotated.set_secrets(SECRET, None);
    assert_eq!(rotated.redeem(&ticket), Ok(principal()));
}

#[test]
fn session_is_read_if_it_can_be() {
    let check = |identity_token: &str, expected: Option<&str>| {
        let ticket = tickets(SECRET, None).issue(&principal(), Some(identity_token));
        let session_id = redeem(&ticket).expect("a ticket").session_id;
        assert_eq!(session_id.as_deref().map(SessionId::as_str), expected, "{identity_token:.80}");
    };
    check(&identity_token(&json!({ "sid": "1", "sub": "x", "exp": 1 })), Some("1"));
    check(&identity_token(&json!({ "sid": "s".repeat(256) })), Some(&"s".repeat(256)));
    check(&identity_token(&json!({ "sid": "s".repeat(257) })), None);
    check(&identity_token(&json!({ "sid": "" })), None);
    check(&identity_token(&json!({ "sid": 1 })), None);
    check(&identity_token(&json!({ "sub": "x" })), None);
    check(&identity_token(&json!({ "sid": "1", "groups": "g".repeat(MAX_IDENTITY_CLAIMS) })), None);
    check("a.?.b", None);
    check("opaque", None);
    check("", None);
}

proptest! {
    #[test]
    fn arbitrary_text_is_rejected(text in "\\PC{0,60}(\\.\\PC{0,60}){0,3}") {
        prop_assert_eq!(redeem(&text), Err(TicketRejected::Invalid));
        session_id(&text);
    }
}
