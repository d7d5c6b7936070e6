//! The use case "check an account": rejects tokens of accounts that were disabled or deleted.

use std::sync::Arc;

use domain::identity::Principal;
use ports::outbound::{TokenRejected, TokenVerifier};

use super::Subscriptions;

/// A token verifier that also rejects tokens issued before their user's account was disabled or deleted.
///
/// [`Subscriptions`] records these accounts, because their open streams have to end as well.
pub struct AccountCheck {
    /// Verifies everything else about a token.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Records the accounts that were disabled or deleted.
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
