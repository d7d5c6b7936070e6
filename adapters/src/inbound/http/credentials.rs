//! The credentials of a request: a token, or a ticket for a stream.

use std::borrow::Cow;

use domain::identity::Principal;
use poem::{Request, http::StatusCode};
use poem_openapi::{
    SecurityScheme,
    auth::{ApiKey, Bearer},
};
use ports::outbound::{AuthenticationFailure, Metrics, TokenRejected, TokenVerifier};
use tracing::info;

use super::problem::Problem;

/// The reva access token. The platform's proxy exchanges the browser's token for it. If the setting `SSE_TOKEN_COOKIE` names a cookie,
/// that cookie may carry the token instead, for pages of the service's own origin and of origins listed for CORS, because an
/// `EventSource` cannot set headers.
#[derive(SecurityScheme)]
#[oai(
    rename = "AccessToken",
    ty = "api_key",
    key_name = "x-access-token",
    key_in = "header",
    checker = "not_empty"
)]
pub(super) struct AccessToken(ApiKey);

/// Treats an empty header as absent, so that a bearer token is used.
#[expect(clippy::unused_async, reason = "poem-openapi takes async checkers only")]
async fn not_empty(_: &Request, key: ApiKey) -> Option<ApiKey> {
    (!key.key.is_empty()).then_some(key)
}

/// The same token as a bearer token (RFC 6750), for clients that reach the service without the platform's proxy. It is used if there is no
/// `x-access-token`.
#[derive(SecurityScheme)]
#[oai(rename = "BearerToken", ty = "bearer", bearer_format = "JWT")]
pub(super) struct BearerToken(Bearer);

#[derive(SecurityScheme)]
pub(super) enum Credentials {
    AccessToken(AccessToken),
    BearerToken(BearerToken),
    #[oai(fallback)]
    Missing,
}

/// A ticket of this service, which an edge has requested through the platform's proxy. It is accepted from the addresses in
/// `SSE_TICKET_CLIENTS`, and then takes precedence over any other credential.
#[derive(SecurityScheme)]
#[oai(rename = "Ticket", ty = "api_key", key_name = "x-sse-ticket", key_in = "header")]
pub(super) struct Ticket(#[expect(dead_code, reason = "the admission reads the header")] ApiKey);

/// The credentials of a request for a stream. Only their description includes the ticket: whether a ticket counts depends on the settings
/// and on the connection, so the admission of tickets looks for it first.
#[derive(SecurityScheme)]
pub(super) enum StreamCredentials {
    AccessToken(AccessToken),
    BearerToken(BearerToken),
    Ticket(#[expect(dead_code, reason = "the admission reads the header")] Ticket),
    #[oai(fallback)]
    Missing,
}

impl From<StreamCredentials> for Credentials {
    fn from(credentials: StreamCredentials) -> Self {
        match credentials {
            StreamCredentials::AccessToken(token) => Self::AccessToken(token),
            StreamCredentials::BearerToken(token) => Self::BearerToken(token),
            StreamCredentials::Ticket(_) | StreamCredentials::Missing => Self::Missing,
        }
    }
}

/// The reason why a request without a suitable token is rejected.
pub(super) enum Denied {
    /// The token is missing or not valid.
    Unauthorized {
        /// The value of `WWW-Authenticate` (RFC 6750, 3).
        challenge: &'static str,
        problem: Problem,
    },
    /// The token is valid but gives no access.
    Forbidden { problem: Problem },
}

/// The challenge for a request without a token (RFC 6750, 3).
const NO_TOKEN: &str = "Bearer";
/// The challenge for a token that is not valid (RFC 6750, 3.1).
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

impl Denied {
    /// Denies a request whose token or ticket is not valid.
    pub(super) fn invalid(detail: &str) -> Self {
        Self::unauthorized(INVALID_TOKEN, detail)
    }

    fn unauthorized(challenge: &'static str, detail: &str) -> Self {
        Self::Unauthorized { challenge, problem: Problem::new(StatusCode::UNAUTHORIZED, detail) }
    }
}

impl Credentials {
    /// Verifies the token and returns its user.
    ///
    /// # Errors
    ///
    /// The token is missing, not valid, or gives no access. The failure is counted.
    pub(super) fn principal(
        &self,
        request: &Request,
        verifier: &dyn TokenVerifier,
        metrics: &dyn Metrics,
    ) -> Result<Principal, Denied> {
        let Some(token) = self.token(request).filter(|token| !token.is_empty()) else {
            metrics.authentication_failed(AuthenticationFailure::Missing);
            return Err(Denied::unauthorized(NO_TOKEN, "send the access token in x-access-token"));
        };
        verifier.verify(&token).map_err(|rejected| {
            metrics.authentication_failed(AuthenticationFailure::Rejected(rejected));
            info!(reason = %rejected, "request rejected");
            let detail = rejected.to_string();
            match rejected {
                TokenRejected::Scope => {
                    Denied::Forbidden { problem: Problem::new(StatusCode::FORBIDDEN, detail) }
                }
                TokenRejected::Expired
                | TokenRejected::Invalid
                | TokenRejected::NoUser
                | TokenRejected::Revoked => Denied::invalid(&detail),
            }
        })
    }

    fn token(&self, request: &Request) -> Option<Cow<'_, str>> {
        match self {
            Self::AccessToken(token) => Some(token.0.key.as_str().into()),
            Self::BearerToken(token) => Some(token.0.token.as_str().into()),
            // poem ignores a header that is not ASCII. It has no valid token, but the challenge has to say that one was sent.
            Self::Missing => ["x-access-token", "authorization"].iter().find_map(|name| {
                let value = request.headers().get(*name).filter(|value| value.to_str().is_err())?;
                Some(String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            }),
        }
    }
}
