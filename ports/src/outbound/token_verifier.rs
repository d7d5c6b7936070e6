use domain::identity::Principal;

/// Tells whom an access token speaks for.
///
/// What implementations are obliged to is tested by `obligations::token_verifier`.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait TokenVerifier: Send + Sync {
    /// The user whose token this is, when it was issued, and until when it is valid.
    ///
    /// No part of the token may reach a log or an error.
    ///
    /// # Errors
    ///
    /// - [`TokenRejected::Expired`]: its time is over, leeway included; nothing else is wrong with it;
    /// - [`TokenRejected::Invalid`]: it was not signed with our secret and algorithm, is not for us, or lacks a claim;
    /// - [`TokenRejected::NoUser`]: it is valid, but names no user;
    /// - [`TokenRejected::Scope`]: it is valid, but gives no access to a user's own events;
    /// - [`TokenRejected::Revoked`]: it is valid, but its user's account was disabled or deleted after it was issued. An adapter that knows
    ///   nothing of accounts never says so.
    fn verify(&self, token: &str) -> Result<Principal, TokenRejected>;
}

/// Why a token opens no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRejected {
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It was not made by our platform for us.
    #[error("the token is not valid")]
    Invalid,
    /// It names no user.
    #[error("the token names no user")]
    NoUser,
    /// It gives access to something else, a public share for example.
    #[error("the token's scope gives no access to a user's events")]
    Scope,
    /// Its user's account was disabled or deleted after it was issued.
    #[error("the token was issued before its user's account was disabled or deleted")]
    Revoked,
}
