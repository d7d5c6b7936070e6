//! Disabled and deleted accounts: their streams end and their tokens are rejected.

use domain::{identity::Principal, log::EndReason, revocation::AccountChange};

use super::Subscriptions;

impl Subscriptions {
    /// Records that an account was disabled, deleted or enabled, and ends its streams whose tokens are no longer accepted. These streams
    /// still take the events published before. Returns the number of ended streams.
    pub(in crate::use_cases) fn account_changed(&self, change: &AccountChange) -> usize {
        // A stream opened after this line is ended by `subscribe`, a stream opened before it by the next line.
        self.shared.state.lock().revocations.apply(change);
        self.end_streams(&change.user, EndReason::Revoked, |stream| change.revokes(stream.issued_at))
    }

    /// Returns whether the account was disabled or deleted after the token was issued.
    pub(in crate::use_cases) fn is_revoked(&self, principal: &Principal) -> bool {
        self.shared.state.lock().revocations.is_revoked(&principal.user, principal.issued_at)
    }
}
