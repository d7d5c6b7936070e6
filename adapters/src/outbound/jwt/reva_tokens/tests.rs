//! Tests of the verifier, with captured tokens and with changed ones.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ports::{
    obligations::{self, Fault},
    outbound::MockClock,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a secret of at least thirty-two bytes";
/// A time far from the machine's.
const NOW: u64 = 3_000_000_000;
const FAR_FUTURE: u64 = 4_000_000_000;

/// A clock that stands still at this number of milliseconds after [`NOW`].
struct FixedClock(u64);

impl Clock for FixedClock {
    fn now(&self) -> Instant {
        unreachable!("tokens are verified by the wall clock")
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(NOW) + Duration::from_millis(self.0)
    }
}

fn tokens(secret: &str, previous: Option<&str>) -> RevaTokens {
    RevaTokens::new(secret, previous, Arc::new(FixedClock(0)))
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example", "aud": ["reva"], "exp": FAR_FUTURE,
        "user": { "id": { "idp": "https://idp.example", "opaque_id": "einstein", "type": 1 } },
        "scope": { "user": { "role": 1 } },
    })
}

fn sign(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("signs")
}

fn verify(token: &str) -> Result<String, TokenRejected> {
    tokens(SECRET, None).verify(token).map(|principal| principal.user.to_string())
}

#[test]
fn captured_tokens_are_verified() {
    let file: Value =
        serde_json::from_str(include_str!("../../../../../tests/wire/tokens.json")).expect("JSON");
    // The tokens are from 2026 and expire in 2036.
    let secret = file["secret"].as_str().expect("a secret");
    let captured = Duration::from_secs(1_795_450_249);
    let mut clock = MockClock::new();
    clock.expect_unix_time().return_const(captured);
    let tokens = RevaTokens::new(secret, None, Arc::new(clock));
    let check = |name: &str, expected: Result<&str, TokenRejected>| {
        let token = file["tokens"][name].as_str().expect("a token");
        let user = tokens.verify(token).map(|principal| principal.user.to_string());
        assert_eq!(user, expected.map(Into::into), "{name}");
    };
    check("user-scope", Ok("4c510ada-c86b-4815-8820-42cdf82c3d51"));
    check("public-share-scope", Err(TokenRejected::Scope));
    check("no-opaque-id", Err(TokenRejected::NoUser));
}

#[test]
fn meets_the_obligations_of_its_port() {
    obligations::token_verifier(&tokens(SECRET, None), |token| {
        let mut claims = claims();
        claims["user"]["id"]["opaque_id"] = json!("a");
        claims["iat"] = json!(token.issued_at.map(|issued| issued.as_secs()));
        if token.is_expired {
            claims["exp"] = json!(2_000_000);
        }
        match token.fault {
            Some(Fault::Audience) => claims["aud"] = json!(["other"]),
            Some(Fault::NoUser) => claims["user"] = json!({}),
            Some(Fault::Scope) => claims["scope"] = json!({ "publicshare:1": {} }),
            Some(Fault::Signature) | None => {}
        }
        let secret = if token.fault == Some(Fault::Signature) { "another secret" } else { SECRET };
        sign(Algorithm::HS256, secret, &claims)
    });
}

#[test]
fn each_claim_is_verified() {
    let check = |name: &str, change: fn(&mut Value), expected: Result<&str, TokenRejected>| {
        let mut claims = claims();
        change(&mut claims);
        assert_eq!(verify(&sign(Algorithm::HS256, SECRET, &claims)), expected.map(Into::into), "{name}");
    };
    check("unchanged", |_| {}, Ok("einstein"));
    check("aud as text", |claims| claims["aud"] = json!("reva"), Ok("einstein"));
    check("further scope", |claims| claims["scope"] = json!({"user:x": {}}), Ok("einstein"));
    check("expired", |claims| claims["exp"] = json!(1_000_000_000), Err(TokenRejected::Expired));
    check(
        "no exp",
        |claims| drop(claims.as_object_mut().unwrap().remove("exp")),
        Err(TokenRejected::Invalid),
    );
    check("exp as text", |claims| claims["exp"] = json!("soon"), Err(TokenRejected::Invalid));
    check("not valid yet", |claims| claims["nbf"] = json!(FAR_FUTURE), Err(TokenRejected::Invalid));
    check("valid since", |claims| claims["nbf"] = json!(1_000_000_000), Ok("einstein"));
    check("other aud", |claims| claims["aud"] = json!(["other"]), Err(TokenRejected::Invalid));
    check(
        "no aud",
        |claims| drop(claims.as_object_mut().unwrap().remove("aud")),
        Err(TokenRejected::Invalid),
    );
    check(
        "no scope",
        |claims| drop(claims.as_object_mut().unwrap().remove("scope")),
        Err(TokenRejected::Scope),
    );
    check(
        "no user",
        |claims| drop(claims.as_object_mut().unwrap().remove("user")),
        Err(TokenRejected::NoUser),
    );
    check("empty id", |claims| claims["user"]["id"]["opaque_id"] = json!(""), Err(TokenRejected::NoUser));
}

#[test]
fn token_is_valid_until_expiry_plus_leeway() {
    let until = |exp: Value| {
        let mut claims = claims();
        claims["exp"] = exp;
        let token = sign(Algorithm::HS256, SECRET, &claims);
        tokens(SECRET, None).verify(&token).map(|principal| principal.expires_at)
    };
    assert_eq!(until(json!(FAR_FUTURE)), Ok(Duration::from_secs(FAR_FUTURE + 5)));
    assert_eq!(until(json!(4e9 + 0.5)), Ok(Duration::from_millis(4_000_000_005_500)));
    assert_eq!(until(json!(u64::MAX / 4)).map(|time| time > Duration::from_secs(1 << 60)), Ok(true));
}

#[test]
fn time_of_issue_is_known_or_long_ago() {
    let check = |iat: Value, expected: Result<IssuedAt, TokenRejected>| {
        let mut claims = claims();
        claims["iat"] = iat.clone();
        let principal = tokens(SECRET, None).verify(&sign(Algorithm::HS256, SECRET, &claims));
        assert_eq!(principal.map(|principal| principal.issued_at), expected, "{iat}");
    };
    let at = |seconds| Ok(IssuedAt::new(Duration::from_secs(seconds)));
    check(json!(1_795_450_249), at(1_795_450_249));
    check(json!(1_795_450_249.9), at(1_795_450_249));
    check(json!(null), Ok(IssuedAt::UNKNOWN));
    check(json!(-1), Ok(IssuedAt::UNKNOWN));
    check(json!(1e300), Ok(IssuedAt::UNKNOWN));
    check(json!("yesterday"), Err(TokenRejected::Invalid));
    let principal = tokens(SECRET, None).verify(&sign(Algorithm::HS256, SECRET, &claims()));
    assert_eq!(principal.map(|principal| principal.issued_at), Ok(IssuedAt::UNKNOWN));
}

#[test]
fn times_are_compared_with_the_clock_of_the_port() {
    let check = |claim: &str, time: Value, millis: u64, expected: Result<(), TokenRejected>| {
        let mut claims = claims();
        claims[claim] = time.clone();
        let tokens = RevaTokens::new(SECRET, None, Arc::new(FixedClock(millis)));
        let verified = tokens.verify(&sign(Algorithm::HS256, SECRET, &claims)).map(drop);
        assert_eq!(verified, expected, "{claim} {time}, {millis} ms after NOW");
    };
    check("exp", json!(NOW), 4_999, Ok(()));
    check("exp", json!(NOW), 5_000, Err(TokenRejected::Expired));
    check("exp", json!(3e9 + 0.5), 5_499, Ok(()));
    check("exp", json!(-1), 0, Err(TokenRejected::Invalid));
    check("nbf", json!(NOW), 0, Ok(()));
    check("nbf", json!(NOW + 10), 4_999, Err(TokenRejected::Invalid));
    check("nbf", json!(NOW + 10), 5_000, Ok(()));
    check("nbf", json!(3e9 + 10.5), 5_499, Err(TokenRejected::Invalid));
    check("nbf", json!(3e9 + 10.5), 5_500, Ok(()));
    check("nbf", json!(-1), 0, Ok(()));
    check("nbf", json!(null), 0, Ok(()));
    check("nbf", json!(1e300), 0, Err(TokenRejected::Invalid));
    check("nbf", json!("soon"), 0, Err(TokenRejected::Invalid));
}

#[test]
fn not_yet_valid_takes_precedence_over_expired() {
    let mut claims = claims();
    claims["nbf"] = json!(FAR_FUTURE);
    claims["exp"] = json!(1);
    assert_eq!(verify(&sign(Algorithm::HS256, SECRET, &claims)), Err(TokenRejected::Invalid));
}

#[test]
fn only_hs256_with_the_secret_is_accepted() {
    for token in [
        sign(Algorithm::HS256, "another secret", &claims()),
        sign(Algorithm::HS384, SECRET, &claims()),
        sign(Algorithm::HS512, SECRET, &claims()),
        format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        ),
    ] {
        assert_eq!(verify(&token), Err(TokenRejected::Invalid), "{token}");
    }
}

/// RFC 7515, 4.1.11: a token with an unknown critical extension is rejected.
#[test]
fn critical_extension_is_rejected() {
    let header = Header { crit: Some(vec!["http://example.org/x".into()]), ..Header::new(Algorithm::HS256) };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&header, &claims(), &key).expect("signs");
    assert_eq!(verify(&token), Err(TokenRejected::Invalid));
}

#[test]
fn previous_secret_is_accepted() {
    let tokens = tokens(SECRET, Some("the previous secret"));
    let verify = |secret| {
        let token = sign(Algorithm::HS256, secret, &claims());
        tokens.verify(&token).map(|principal| principal.user.to_string())
    };
    assert_eq!(verify(SECRET), Ok("einstein".into()));
    assert_eq!(verify("the previous secret"), Ok("einstein".into()));
    assert_eq!(verify("another secret"), Err(TokenRejected::Invalid));
    let mut expired = claims();
    expired["exp"] = json!(1);
    let token = sign(Algorithm::HS256, "the previous secret", &expired);
    assert_eq!(tokens.verify(&token), Err(TokenRejected::Expired));
}

#[test]
fn secrets_can_be_replaced() {
    let tokens = tokens("the previous secret", None);
    let verify = |secret| {
        let token = sign(Algorithm::HS256, secret, &claims());
        tokens.verify(&token).map(|principal| principal.user.to_string())
    };
    assert_eq!(verify(SECRET), Err(TokenRejected::Invalid));
    tokens.set_secrets(SECRET, Some("the previous secret"));
    assert_eq!([SECRET, "the previous secret"].map(verify), ["einstein"; 2].map(|name| Ok(name.into())));
    tokens.set_secrets(SECRET, None);
    assert_eq!(verify("the previous secret"), Err(TokenRejected::Invalid));
}

#[test]
fn issued_token_is_accepted() {
    let user = UserId::try_new("marie").expect("a user id");
    let token = RevaTokenIssuer::new(SECRET).issue(&user, FAR_FUTURE).expect("signs");
    assert_eq!(verify(&token), Ok("marie".into()));
}

proptest! {
    #[test]
    fn arbitrary_text_is_rejected(text in "\\PC{0,60}(\\.\\PC{0,60}){0,3}") {
        prop_assert_eq!(verify(&text), Err(TokenRejected::Invalid));
    }

    /// A changed character makes the token invalid. (The last character of each part is left out, because it may carry unused bits.)
    #[test]
    fn changed_token_is_rejected(position in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
        let token = sign(Algorithm::HS256, SECRET, &claims());
        let position = position.index(token.len());
        prop_assume!(!token[position..].starts_with(&*to) && !token[position..].starts_with('.'));
        prop_assume!(position + 1 < token.len() && !token[position + 1..].starts_with('.'));
        let mut changed = token;
        changed.replace_range(position..=position, &to);
        prop_assert_eq!(verify(&changed), Err(TokenRejected::Invalid));
    }
}
