//! Streams end with their user's account.

use domain::{identity::Principal, log::EndReason, revocation::AccountChange};

use super::Subscriptions;

impl Subscriptions {
    /// Takes note that an account was disabled, deleted or enabled, and ends its streams if their tokens are no longer accepted. Each takes
    /// what was published before. Returns how many were ended.
    pub(in crate::use_cases) fn account_changed(&self, change: &AccountChange) -> usize {
        // A stream that is opened after this finds the account among the revoked ones, one that was opened before is found below.
        self.shared.state.lock().revocations.apply(change);
        self.end_streams(&change.user, EndReason::Revoked, |stream| change.revokes(stream.issued_at))
    }

    /// Whether the account was disabled or deleted after the token was issued.
    pub(in crate::use_cases) fn is_revoked(&self, principal: &Principal) -> bool {
        self.shared.state.lock().revocations.is_revoked(&principal.user, principal.issued_at)
    }
}
