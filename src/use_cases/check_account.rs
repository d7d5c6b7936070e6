//! The use case "check an account": rejects tokens and tickets of accounts that were disabled or deleted.

use std::sync::Arc;

use domain::identity::Principal;
use ports::outbound::{TicketRejected, Tickets, TokenRejected, TokenVerifier};

use super::Subscriptions;

/// A verifier of tokens or tickets that also rejects those whose token was issued before its user's account was disabled or deleted.
///
/// [`Subscriptions`] records these accounts, because their open streams have to end as well.
pub struct AccountCheck<V: ?Sized> {
    /// Verifies everything else about a token or ticket.
    pub verifier: Arc<V>,
    /// Records the accounts that were disabled or deleted.
    pub subscriptions: Subscriptions,
}

impl<V: TokenVerifier + ?Sized> TokenVerifier for AccountCheck<V> {
    fn verify(&self, token: &str) -> Result<Principal, TokenRejected> {
        let principal = self.verifier.verify(token)?;
        if self.subscriptions.is_revoked(&principal) {
            return Err(TokenRejected::Revoked);
        }
        Ok(principal)
    }
}

impl<V: Tickets + ?Sized> Tickets for AccountCheck<V> {
    fn issue(&self, principal: &Principal, identity_token: Option<&str>) -> String {
        self.verifier.issue(principal, identity_token)
    }

    fn redeem(&self, ticket: &str) -> Result<Principal, TicketRejected> {
        let principal = self.verifier.redeem(ticket)?;
        if self.subscriptions.is_revoked(&principal) {
            return Err(TicketRejected::Revoked);
        }
        Ok(principal)
    }
}
