use std::time::Duration;

use domain::identity::IssuedAt;

use super::user;
use crate::outbound::{TokenRejected, TokenVerifier};

/// A token of the user `a`, with nothing or something wrong with it.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// When it was issued, since 1970, if it says so.
    pub issued_at: Option<Duration>,
    /// Whether its time is over.
    pub is_expired: bool,
    /// What else is wrong with it.
    pub fault: Option<Fault>,
}

/// What may be wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Somebody else has signed it.
    Signature,
    /// It is for somebody else.
    Audience,
    /// It names no user.
    NoUser,
    /// It is for a public share.
    Scope,
}

/// Tests a [`TokenVerifier`] with tokens that `make` makes. No account was disabled.
///
/// # Panics
///
/// An obligation is not met.
pub fn token_verifier(verifier: &impl TokenVerifier, make: impl Fn(Token) -> String) {
    const ISSUED: Duration = Duration::from_secs(1_000_000);
    let good = Token { issued_at: Some(ISSUED), is_expired: false, fault: None };
    let verify = |token: Token| verifier.verify(&make(token));
    let principal = verify(good).expect("nothing is wrong with it");
    assert_eq!((principal.user, principal.issued_at), (user(), IssuedAt::new(ISSUED)));
    let unknown = verify(Token { issued_at: None, ..good }).expect("it need not say when it was issued");
    assert_eq!(unknown.issued_at, IssuedAt::UNKNOWN);

    for (fault, rejected) in [
        (Fault::Signature, TokenRejected::Invalid),
        (Fault::Audience, TokenRejected::Invalid),
        (Fault::NoUser, TokenRejected::NoUser),
        (Fault::Scope, TokenRejected::Scope),
    ] {
        // An expired one with nothing else wrong is replaced by its client; this one would not be any better.
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
