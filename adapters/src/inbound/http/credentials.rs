//! Where the token stands in a request.

use poem_openapi::{
    SecurityScheme,
    auth::{ApiKey, Bearer},
};

/// The reva access token. The gateway in front of this service has exchanged the browser's token for it.
#[derive(SecurityScheme)]
#[oai(rename = "AccessToken", ty = "api_key", key_name = "x-access-token", key_in = "header")]
pub(super) struct AccessToken(ApiKey);

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
