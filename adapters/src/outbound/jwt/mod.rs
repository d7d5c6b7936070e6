//! JSON Web Tokens (RFC 7519), signed with HS256: the access tokens of the platform, and the tickets of this service.

mod reva_tokens;
mod tickets;
mod verification;

use std::time::Duration;

pub use self::{
    reva_tokens::{RevaTokenIssuer, RevaTokens},
    tickets::JwtTickets,
};

/// Tolerance for clock differences between machines.
const LEEWAY: Duration = Duration::from_secs(5);
