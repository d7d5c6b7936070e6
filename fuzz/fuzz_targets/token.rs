//! Access tokens and tickets. An input of one line is a token, or a token of an identity provider that names the session of
//! a ticket. An input of two lines is a header and its claims, which the target signs, so that the fuzzer gets past the
//! signature.

#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use adapters::outbound::{
    clock::SystemClock,
    jwt::{JwtTickets, RevaTokens},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::identity::{IssuedAt, Principal, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign, get_current_timestamp};
use libfuzzer_sys::fuzz_target;
use ports::outbound::{TicketRejected, Tickets as _, TokenRejected, TokenVerifier as _};
use serde_json::{Value, from_str};

/// The secret has signed no token of the corpus.
const SECRET: &str = "a secret of at least thirty-two bytes";
/// The leeway of an expired token, in seconds.
const LEEWAY: f64 = 5.0;

static TOKENS: LazyLock<RevaTokens> = LazyLock::new(|| RevaTokens::new(SECRET, None, Arc::new(SystemClock)));
static TICKETS: LazyLock<JwtTickets> = LazyLock::new(|| JwtTickets::new(SECRET, None, Arc::new(SystemClock)));
static KEY: LazyLock<EncodingKey> = LazyLock::new(|| EncodingKey::from_secret(SECRET.as_bytes()));

fuzz_target!(|text: &str| {
    assert_eq!(TICKETS.redeem(text), Err(TicketRejected::Invalid), "no instance has issued it");
    let Some((header, claims)) = text.split_once('\n') else {
        check_ticket(text);
        return assert_eq!(TOKENS.verify(text), Err(TokenRejected::Invalid), "the token is not signed");
    };
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(message.as_bytes(), &KEY, Algorithm::HS256).expect("a signature");
    let token = format!("{message}.{signature}");
    assert_eq!(TICKETS.redeem(&token), Err(TicketRejected::Invalid), "a token is no ticket");
    let verified = TOKENS.verify(&token);
    let Ok(principal) = verified else { return };
    // A general JSON parser finds the required claims as well.
    let header: Value = from_str(header).expect("JSON");
    assert_eq!(header["alg"], "HS256");
    let claims: Value = from_str(claims).expect("JSON");
    let audience = &claims["aud"];
    let mut audiences = audience.as_array().into_iter().flatten().chain([audience]);
    assert!(audiences.any(|audience| audience == "reva"));
    let scopes = claims["scope"].as_object().expect("scopes");
    assert!(scopes.keys().any(|scope| scope.starts_with("user")));
    assert_eq!(claims["user"]["id"]["opaque_id"], principal.user.as_str());
    let issued = claims["iat"].as_f64().and_then(|time| Duration::try_from_secs_f64(time).ok());
    assert_eq!(principal.issued_at, issued.map_or(IssuedAt::UNKNOWN, IssuedAt::new));
    let expires = claims["exp"].as_f64().expect("a number");
    let until = Duration::try_from_secs_f64(expires + LEEWAY).unwrap_or(Duration::MAX);
    assert!(
        until.abs_diff(principal.expires_at) < Duration::from_secs(1) || until > Duration::from_secs(1 << 53)
    );
    assert!(principal.expires_at >= Duration::from_secs(get_current_timestamp() - 1), "it has expired");
});

/// Checks that a ticket for the session that `identity_token` names is redeemed, and is no token.
fn check_ticket(identity_token: &str) {
    let user = UserId::try_new("einstein").expect("a user id");
    let expires_at = Duration::from_secs(1 << 40);
    let principal = Principal { user, issued_at: IssuedAt::UNKNOWN, expires_at, session_id: None };
    let ticket = TICKETS.issue(&principal, Some(identity_token));
    let redeemed = TICKETS.redeem(&ticket).expect("a ticket");
    assert_eq!(Principal { session_id: None, ..redeemed }, principal);
    assert_eq!(TOKENS.verify(&ticket), Err(TokenRejected::Invalid), "a ticket is no token");
}
