use std::time::Duration;

use domain::identity::IssuedAt;

use super::user;
use crate::outbound::{TokenRejected, TokenVerifier};

/// A token of the user `a`, valid or with faults.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// When the token was issued, as the time since 1970. None for a token without `iat`.
    pub issued_at: Option<Duration>,
    /// Whether the token has expired.
    pub is_expired: bool,
    /// Another fault of the token.
    pub fault: Option<Fault>,
}

/// A fault of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The token is signed with another secret.
    Signature,
    /// The token has another audience.
    Audience,
    /// The token names no user.
    NoUser,
    /// The token is for a public share.
    Scope,
}

/// Tests a [`TokenVerifier`] with tokens created by `make`. No account is disabled.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub fn token_verifier(verifier: &impl TokenVerifier, make: impl Fn(Token) -> String) {
    const ISSUED: Duration = Duration::from_secs(1_000_000);
    let good = Token { issued_at: Some(ISSUED), is_expired: false, fault: None };
    let verify = |token: Token| verifier.verify(&make(token));
    let principal = verify(good).expect("a valid token");
    assert_eq!((principal.user, principal.issued_at), (user(), IssuedAt::new(ISSUED)));
    let unknown = verify(Token { issued_at: None, ..good }).expect("`iat` is optional");
    assert_eq!(unknown.issued_at, IssuedAt::UNKNOWN);

    for (fault, rejected) in [
        (Fault::Signature, TokenRejected::Invalid),
        (Fault::Audience, TokenRejected::Invalid),
        (Fault::NoUser, TokenRejected::NoUser),
        (Fault::Scope, TokenRejected::Scope),
    ] {
        // `Expired` makes the client renew its token, which would not help against the other fault.
        for is_expired in [false, true] {
            let token = Token { is_expired, fault: Some(fault), ..good };
            assert_eq!(verify(token).err(), Some(rejected), "{token:?}");
        }
    }
    let expired = Token { is_expired: true, ..good };
    assert_eq!(verify(expired).err(), Some(TokenRejected::Expired));
    for text in ["", "nonsense", "..", "a.b.c"] {
        assert_eq!(verifier.verify(text).err(), Some(TokenRejected::Invalid), "{text:?}");
    }
}
