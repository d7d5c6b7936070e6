//! Tickets, as JSON Web Tokens that only instances of this service issue and accept.
//!
//! Their key is derived from the platform's secret, and their audience is this service. So neither a ticket nor a token of the platform is
//! accepted in place of the other, and instances need no other secret.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::identity::{IssuedAt, Principal, SessionId, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use ports::outbound::{Clock, TicketRejected, Tickets};
use serde::{Deserialize, Serialize};

use super::{
    LEEWAY,
    verification::{VerificationKeys, validation},
};

/// The audience of tickets.
const AUDIENCE: &str = "ocis-sse";
/// The label with which the key of tickets is derived (RFC 5869, 3.2, `info`).
const LABEL: &[u8] = b"ocis-sse ticket";
/// How long a ticket is valid. The edge uses it at once.
const LIFETIME: Duration = Duration::from_secs(30);

/// Maximum length of the claims of an identity provider's token, encoded. Longer ones are not read.
const MAX_IDENTITY_CLAIMS: usize = 16 * 1024;

/// Issues and accepts tickets.
pub struct JwtTickets {
    keys: RwLock<Arc<Keys>>,
    validation: Validation,
    clock: Arc<dyn Clock>,
}

struct Keys {
    signing: EncodingKey,
    verification: VerificationKeys,
}

impl Keys {
    fn new(secret: &str, previous: Option<&str>) -> Self {
        let (key, previous) = (derived(secret), previous.map(derived));
        let verification = VerificationKeys::new(&key, previous.as_ref().map(<[u8; 32]>::as_slice));
        Self { signing: EncodingKey::from_secret(&key), verification }
    }
}

/// Returns the key of tickets that belongs to a secret of the platform (HKDF, RFC 5869).
fn derived(secret: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let pseudorandom = Salt::new(HKDF_SHA256, &[]).extract(secret.as_bytes());
    let expanded = pseudorandom.expand(&[LABEL], HKDF_SHA256).and_then(|expanded| expanded.fill(&mut key));
    expanded.expect("the key has the length of a hash");
    key
}

impl JwtTickets {
    /// Creates tickets whose key is derived from `secret`. Tickets of the secret `previous` are accepted too.
    #[must_use]
    pub fn new(secret: &str, previous: Option<&str>, clock: Arc<dyn Clock>) -> Self {
        let keys = RwLock::new(Arc::new(Keys::new(secret, previous)));
        Self { keys, validation: validation(AUDIENCE), clock }
    }

    /// Replaces the secrets.
    pub fn set_secrets(&self, secret: &str, previous: Option<&str>) {
        *self.keys.write() = Arc::new(Keys::new(secret, previous));
    }
}

/// The claims of a ticket. All times are seconds since 1970.
#[derive(Deserialize, Serialize)]
struct Claims {
    aud: String,
    sub: String,
    iat: u64,
    exp: u64,
    /// The session at the identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// When the token was issued with which the ticket was requested. 0 if that is unknown.
    token_iat: u64,
    /// When that token expires, leeway included.
    token_exp: u64,
}

impl Tickets for JwtTickets {
    fn issue(&self, principal: &Principal, identity_token: Option<&str>) -> String {
        let Principal { user, issued_at, expires_at, .. } = principal;
        let now = self.clock.unix_time();
        let claims = Claims {
            aud: AUDIENCE.into(),
            sub: user.as_str().into(),
            iat: now.as_secs(),
            exp: (now + LIFETIME).as_secs(),
            sid: identity_token.and_then(session_id).map(|id| id.as_str().into()),
            token_iat: issued_at.unix_time().as_secs(),
            token_exp: expires_at.as_secs(),
        };
        let keys = Arc::clone(&self.keys.read());
        let ticket = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &keys.signing);
        ticket.expect("a key of bytes signs text and numbers")
    }

    fn redeem(&self, ticket: &str) -> Result<Principal, TicketRejected> {
        let keys = Arc::clone(&self.keys.read());
        let claims: Claims =
            keys.verification.claims(ticket, &self.validation).ok_or(TicketRejected::Invalid)?;
        let user = UserId::try_new(&claims.sub).map_err(|_| TicketRejected::Invalid)?;
        let principal = Principal {
            user,
            issued_at: IssuedAt::new(Duration::from_secs(claims.token_iat)),
            expires_at: Duration::from_secs(claims.token_exp),
            session_id: claims.sid.as_deref().and_then(SessionId::of).map(Box::new),
        };
        let now = self.clock.unix_time();
        let expires_at = Duration::from_secs(claims.exp).saturating_add(LEEWAY);
        if expires_at.min(principal.expires_at) <= now { Err(TicketRejected::Expired) } else { Ok(principal) }
    }
}

/// Returns the session that a token of the identity provider names, without verifying it.
fn session_id(identity_token: &str) -> Option<SessionId> {
    #[derive(Deserialize)]
    struct SessionClaim {
        sid: String,
    }
    let claims = identity_token.split('.').nth(1).filter(|claims| claims.len() <= MAX_IDENTITY_CLAIMS)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let SessionClaim { sid } = serde_json::from_slice(&claims).ok()?;
    SessionId::of(&sid)
}

#[cfg(test)]
mod tests;
