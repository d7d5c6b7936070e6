//! Where the token stands in a request.

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

/// The reva access token. The gateway in front of this service has exchanged the browser's token for it. Where the setting
/// `SSE_TOKEN_COOKIE` names a cookie, that may carry it instead, for pages of the service's own origin and of those that CORS
/// names: an `EventSource` can set no header.
#[derive(SecurityScheme)]
#[oai(
    rename = "AccessToken",
    ty = "api_key",
    key_name = "x-access-token",
    key_in = "header",
    checker = "not_empty"
)]
pub(super) struct AccessToken(ApiKey);

/// An empty header is none, and does not stand in the way of a bearer token.
#[expect(clippy::unused_async, reason = "poem-openapi takes async checkers only")]
async fn not_empty(_: &Request, key: ApiKey) -> Option<ApiKey> {
    (!key.key.is_empty()).then_some(key)
}

/// The same token as a bearer token (RFC 6750), for clients that reach the service without a gateway. It is looked at
/// when there is no `x-access-token`.
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

/// Why a request is not answered, for want of a token that gives access.
pub(super) enum Denied {
    /// There is none, or it is not valid.
    Unauthorized {
        /// As RFC 6750, 3 has it.
        challenge: &'static str,
        problem: Problem,
    },
    /// It is valid, but not for this.
    Forbidden { problem: Problem },
}

/// RFC 6750, 3.1.
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

impl Credentials {
    /// Whose request it is.
    ///
    /// # Errors
    ///
    /// The token says that of nobody. It is counted.
    pub(super) fn principal(
        &self,
        request: &Request,
        verifier: &dyn TokenVerifier,
        metrics: &dyn Metrics,
    ) -> Result<Principal, Denied> {
        let unauthorized = |challenge, detail: &str| Denied::Unauthorized {
            challenge,
            problem: Problem::new(StatusCode::UNAUTHORIZED, detail),
        };
        let Some(token) = self.token(request).filter(|token| !token.is_empty()) else {
            metrics.authentication_failed(AuthenticationFailure::Missing);
            return Err(unauthorized("Bearer", "send the access token in x-access-token"));
        };
        verifier.verify(&token).map_err(|rejected| {
            metrics.authentication_failed(AuthenticationFailure::Rejected(rejected));
            info!(reason = %rejected, "a request was refused");
            let detail = rejected.to_string();
            match rejected {
                TokenRejected::Scope => {
                    Denied::Forbidden { problem: Problem::new(StatusCode::FORBIDDEN, detail) }
                }
                TokenRejected::Expired
                | TokenRejected::Invalid
                | TokenRejected::NoUser
                | TokenRejected::Revoked => unauthorized(INVALID_TOKEN, &detail),
            }
        })
    }

    fn token(&self, request: &Request) -> Option<Cow<'_, str>> {
        match self {
            Self::AccessToken(token) => Some(token.0.key.as_str().into()),
            Self::BearerToken(token) => Some(token.0.token.as_str().into()),
            // The framework passes over a header that is no ASCII. What is in it is no token, but something was sent.
            Self::Missing => ["x-access-token", "authorization"].iter().find_map(|name| {
                let value = request.headers().get(*name).filter(|value| value.to_str().is_err())?;
                Some(String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            }),
        }
    }
}
