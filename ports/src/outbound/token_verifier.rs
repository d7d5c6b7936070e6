use domain::identity::Principal;

/// Verifies access tokens.
///
/// `obligations::token_verifier` tests the obligations of an implementation.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait TokenVerifier: Send + Sync {
    /// Verifies a token. Returns its user, when it was issued and when it expires.
    ///
    /// No part of the token may appear in a log or an error.
    ///
    /// # Errors
    ///
    /// - [`TokenRejected::Expired`] if the token has expired, leeway included, and has no other fault;
    /// - [`TokenRejected::Invalid`] if the token was not signed with the platform's secret and algorithm, has another audience, or lacks a
    ///   claim;
    /// - [`TokenRejected::NoUser`] if the token is valid, but names no user;
    /// - [`TokenRejected::Scope`] if the token is valid, but gives no access to a user's own events;
    /// - [`TokenRejected::Revoked`] if the token is valid, but its user's account was disabled or deleted after it was issued. An adapter
    ///   that does not know accounts never returns it.
    fn verify(&self, token: &str) -> Result<Principal, TokenRejected>;
}

/// Why a token was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRejected {
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token was not issued by the platform for this service.
    #[error("the token is not valid")]
    Invalid,
    /// The token names no user.
    #[error("the token names no user")]
    NoUser,
    /// The token gives access to something else, for example to a public share.
    #[error("the token's scope gives no access to a user's events")]
    Scope,
    /// The user's account was disabled or deleted after the token was issued.
    #[error("the token was issued before its user's account was disabled or deleted")]
    Revoked,
}
