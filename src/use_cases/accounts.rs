//! Accounts that were disabled or deleted: their tokens are refused.

use std::sync::Arc;

use domain::identity::Principal;
use ports::outbound::{TokenRejected, TokenVerifier};

use super::Subscriptions;

/// Verifies tokens, and refuses those that were issued before their user's account was disabled or deleted.
///
/// The relay tells [`Subscriptions`] which accounts that are, because the streams that are open end with their account.
pub struct AccountCheck {
    /// Verifies everything else about a token.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Where it is known which accounts were disabled.
    pub subscriptions: Subscriptions,
}

impl TokenVerifier for AccountCheck {
    fn verify(&self, token: &str) -> Result<Principal, TokenRejected> {
        let principal = self.verifier.verify(token)?;
        if self.subscriptions.is_revoked(&principal) {
            return Err(TokenRejected::Revoked);
        }
        Ok(principal)
    }
}
