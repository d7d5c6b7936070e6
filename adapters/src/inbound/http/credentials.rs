//! Where the token stands in a request.

use poem::Request;
use poem_openapi::{
    SecurityScheme,
    auth::{ApiKey, Bearer},
};

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

impl Credentials {
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::AccessToken(token) => Some(&token.0.key),
            Self::BearerToken(token) => Some(&token.0.token),
            Self::Missing => None,
        }
    }
}
