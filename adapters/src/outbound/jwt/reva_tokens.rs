//! Access tokens of reva: JSON Web Tokens (RFC 7519), signed with HS256 and a secret that all services of the platform share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::identity::{IssuedAt, Principal, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use ports::outbound::{Clock, TokenRejected, TokenVerifier};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    LEEWAY,
    verification::{VerificationKeys, validation},
};

/// The audience of reva's tokens.
const AUDIENCE: &str = "reva";
/// Prefix of the names of scopes that give access to a user's own data.
const USER_SCOPE: &str = "user";

/// A verifier of access tokens.
pub struct RevaTokens {
    keys: RwLock<Arc<Keys>>,
    validation: Validation,
    clock: Arc<dyn Clock>,
}

struct Keys {
    issuer: RevaTokenIssuer,
    verification: VerificationKeys,
}

impl Keys {
    fn new(secret: &str, previous: Option<&str>) -> Self {
        let verification = VerificationKeys::new(secret.as_bytes(), previous.map(str::as_bytes));
        Self { issuer: RevaTokenIssuer::new(secret), verification }
    }
}

impl RevaTokens {
    /// Creates a verifier of tokens signed with `secret` or with `previous`. The previous secret allows replacing the platform's secret
    /// while older tokens are in use.
    #[must_use]
    pub fn new(secret: &str, previous: Option<&str>, clock: Arc<dyn Clock>) -> Self {
        let keys = RwLock::new(Arc::new(Keys::new(secret, previous)));
        Self { keys, validation: validation(AUDIENCE), clock }
    }

    /// Returns a token for `user` that is valid for `lifetime`. Who accepts it accepts the platform's tokens as well.
    ///
    /// # Errors
    ///
    /// Returns the error of the library if it cannot sign the token.
    pub fn issue(&self, user: &UserId, lifetime: Duration) -> Result<String, jsonwebtoken::errors::Error> {
        let expires_at = self.clock.unix_time().saturating_add(lifetime).as_secs();
        Arc::clone(&self.keys.read()).issuer.issue(user, expires_at)
    }

    /// Replaces the secrets.
    pub fn set_secrets(&self, secret: &str, previous: Option<&str>) {
        *self.keys.write() = Arc::new(Keys::new(secret, previous));
    }
}

#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970, with fractions (RFC 7519, 2, `NumericDate`).
    exp: f64,
    /// As `exp`.
    nbf: Option<f64>,
    /// As `exp`.
    iat: Option<f64>,
    user: Option<User>,
    #[serde(default)]
    #[expect(clippy::zero_sized_map_values, reason = "only the names of the scopes matter")]
    scope: Option<BTreeMap<String, IgnoredAny>>,
}

#[derive(Deserialize)]
struct User {
    id: Option<OpaqueId>,
}

#[derive(Deserialize)]
struct OpaqueId {
    #[serde(default)]
    opaque_id: String,
}

impl TokenVerifier for RevaTokens {
    fn verify(&self, token: &str) -> Result<Principal, TokenRejected> {
        let keys = Arc::clone(&self.keys.read());
        let claims: Claims =
            keys.verification.claims(token, &self.validation).ok_or(TokenRejected::Invalid)?;
        let now = self.clock.unix_time();
        if claims.nbf.is_some_and(|time| time > (now + LEEWAY).as_secs_f64()) {
            return Err(TokenRejected::Invalid);
        }
        let principal = principal(claims)?;
        // Checked last, because any other fault takes precedence.
        if principal.expires_at <= now { Err(TokenRejected::Expired) } else { Ok(principal) }
    }
}

/// Returns the user of the claims, with the times of the token.
fn principal(claims: Claims) -> Result<Principal, TokenRejected> {
    if !claims.scope.iter().flatten().any(|(scope, _)| scope.starts_with(USER_SCOPE)) {
        return Err(TokenRejected::Scope);
    }
    let id = claims.user.and_then(|user| user.id).ok_or(TokenRejected::NoUser)?;
    let user = UserId::try_new(&id.opaque_id).map_err(|_| TokenRejected::NoUser)?;
    let expires_at = Duration::try_from_secs_f64(claims.exp).unwrap_or(Duration::MAX);
    let issued_at = claims.iat.and_then(|time| Duration::try_from_secs_f64(time).ok());
    let issued_at = issued_at.map_or(IssuedAt::UNKNOWN, IssuedAt::new);
    Ok(Principal { user, issued_at, expires_at: expires_at.saturating_add(LEEWAY), session_id: None })
}

/// An issuer of tokens like those of the platform, for the demonstration and for tests.
pub struct RevaTokenIssuer {
    key: EncodingKey,
}

impl RevaTokenIssuer {
    /// Creates an issuer that signs with `secret`.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self { key: EncodingKey::from_secret(secret.as_bytes()) }
    }

    /// Returns a token for `user` that expires at `expires_at`, in seconds since 1970 (RFC 7519, 2, `NumericDate`).
    ///
    /// # Errors
    ///
    /// Returns the error of the library if it cannot sign the token.
    pub fn issue(&self, user: &UserId, expires_at: u64) -> Result<String, jsonwebtoken::errors::Error> {
        #[derive(Serialize)]
        struct Issued<'a> {
            iss: &'a str,
            aud: [&'a str; 1],
            exp: u64,
            user: serde_json::Value,
            scope: serde_json::Value,
        }
        let claims = Issued {
            iss: "ocis-sse",
            aud: [AUDIENCE],
            exp: expires_at,
            user: serde_json::json!({ "id": { "opaque_id": user.as_str() } }),
            scope: serde_json::json!({ USER_SCOPE: {} }),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)
    }
}

#[cfg(test)]
mod tests;
