//! Token revocation: a token is rejected before it expires if its user's account was disabled or deleted after it was issued.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::identity::{IssuedAt, UserId};

/// The maximum difference between the clocks of the identity provider and of NATS. It also covers the fraction of a second that the time of
/// issue lacks: a token issued in the second of an event counts as older than the event.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);
/// The maximum lifetime of a token, leeways included. Tokens of the platform's proxy are valid for 24 hours.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_hours(25);

/// An account was disabled or deleted, or enabled again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// The user of the account.
    pub user: UserId,
    /// Whether the account is enabled from then on.
    pub is_enabled: bool,
    /// When NATS stored the event about the change, by the clock of NATS, as the time since 1970.
    pub changed_at: Duration,
}

impl AccountChange {
    /// Returns whether the change revokes a token of the user that was issued at `issued_at`.
    #[must_use]
    pub fn revokes(&self, issued_at: IssuedAt) -> bool {
        !self.is_enabled && is_revoked(issued_at, self.changed_at)
    }
}

fn is_revoked(issued_at: IssuedAt, disabled_at: Duration) -> bool {
    issued_at.unix_time() <= disabled_at.saturating_add(CLOCK_LEEWAY)
}

/// The accounts that were disabled or deleted recently, so that a token issued before may not have expired yet.
///
/// When an account is enabled again, its tokens are accepted again, because they still belong to the same person.
#[derive(Debug)]
pub struct Revocations {
    limit: usize,
    /// When each account was disabled or deleted.
    disabled: BTreeMap<UserId, Duration>,
    /// The same accounts by that time, the oldest first.
    by_time: BTreeSet<(Duration, UserId)>,
}

impl Revocations {
    /// Creates an empty collection of up to `limit` accounts. Beyond that it forgets the accounts that were disabled longest ago.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, disabled: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Applies a change unless a later one of the same account is known. Forgets the accounts that were disabled so long before the change
    /// that all their tokens have expired.
    pub fn apply(&mut self, change: &AccountChange) {
        let AccountChange { user, is_enabled, changed_at } = change;
        if let Some(known) = self.disabled.get(user).copied() {
            if known > *changed_at {
                return;
            }
            self.forget(known, user);
        }
        if !is_enabled {
            self.disabled.insert(user.clone(), *changed_at);
            self.by_time.insert((*changed_at, user.clone()));
        }
        while let Some((disabled_at, _)) = self.by_time.first()
            && (self.disabled.len() > self.limit
                || disabled_at.saturating_add(MAX_TOKEN_LIFETIME) < *changed_at)
            && let Some((_, user)) = self.by_time.pop_first()
        {
            self.disabled.remove(&user);
        }
    }

    /// Returns whether a token of `user` that was issued at `issued_at` is revoked.
    #[must_use]
    pub fn is_revoked(&self, user: &UserId, issued_at: IssuedAt) -> bool {
        self.disabled.get(user).is_some_and(|disabled_at| is_revoked(issued_at, *disabled_at))
    }

    fn forget(&mut self, disabled_at: Duration, user: &UserId) {
        self.disabled.remove(user);
        self.by_time.remove(&(disabled_at, user.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An arbitrary time in 2026.
    const START: Duration = Duration::from_secs(1_795_450_249);
    const DAY_BEFORE: Duration = Duration::from_secs(1_795_363_849);

    fn user(number: usize) -> UserId {
        UserId::try_new(&number.to_string()).expect("a user id")
    }

    fn change(number: usize, is_enabled: bool, changed_at: Duration) -> AccountChange {
        AccountChange { user: user(number), is_enabled, changed_at }
    }

    fn revocations_after(limit: usize, changes: &[AccountChange]) -> Revocations {
        let mut revocations = Revocations::new(limit);
        for change in changes {
            revocations.apply(change);
        }
        revocations
    }

    #[test]
    fn token_issued_before_event_is_rejected() {
        let at = START + Duration::from_millis(300);
        let disabled = change(1, false, at);
        let check = |issued: IssuedAt, expected: bool| {
            assert_eq!(disabled.revokes(issued), expected, "{issued:?}");
            let revocations = revocations_after(10, std::slice::from_ref(&disabled));
            assert_eq!(revocations.is_revoked(&user(1), issued), expected, "{issued:?}");
            assert!(!revocations.is_revoked(&user(2), issued), "another user's token");
            assert!(!change(1, true, at).revokes(issued));
        };
        check(IssuedAt::UNKNOWN, true);
        check(IssuedAt::new(DAY_BEFORE), true);
        // The token may have been issued shortly before the event or shortly after it.
        check(IssuedAt::new(START), true);
        check(IssuedAt::new(START + CLOCK_LEEWAY), true);
        check(IssuedAt::new(START + CLOCK_LEEWAY + Duration::from_secs(1)), false);
        check(IssuedAt::new(Duration::MAX), false);
    }

    #[test]
    fn enabled_account_accepts_its_tokens_again() {
        let at = |seconds: u64| START + Duration::from_secs(seconds);
        let check = |changes: &[(bool, u64)], expected: bool| {
            let changes: Vec<_> =
                changes.iter().map(|(is_enabled, seconds)| change(1, *is_enabled, at(*seconds))).collect();
            let revocations = revocations_after(10, &changes);
            assert_eq!(revocations.is_revoked(&user(1), IssuedAt::new(START)), expected, "{changes:?}");
        };
        check(&[], false);
        check(&[(true, 1)], false);
        check(&[(false, 1), (true, 2)], false);
        check(&[(false, 1), (true, 2), (false, 3)], true);
        check(&[(false, 3), (true, 2)], true);
        // Of two changes at the same time the one applied last takes effect.
        check(&[(false, 1), (true, 1)], false);
    }

    #[test]
    fn account_is_forgotten_when_its_tokens_have_expired() {
        let check = |later: Duration, expected: bool| {
            let revocations =
                revocations_after(10, &[change(1, false, START), change(2, true, START + later)]);
            assert_eq!(revocations.is_revoked(&user(1), IssuedAt::new(START)), expected);
            assert_eq!(
                (revocations.disabled.len(), revocations.by_time.len()),
                (expected.into(), expected.into())
            );
        };
        check(Duration::from_hours(24), true);
        check(MAX_TOKEN_LIFETIME, true);
        check(MAX_TOKEN_LIFETIME + Duration::from_nanos(1), false);
    }

    #[test]
    fn limit_forgets_the_accounts_disabled_first() {
        let at = |seconds: u64| START + Duration::from_secs(seconds);
        let changes = [change(1, false, at(0)), change(2, false, at(1)), change(3, false, at(2))];
        let revocations = revocations_after(2, &changes);
        let rejected = [1, 2, 3].map(|number| revocations.is_revoked(&user(number), IssuedAt::UNKNOWN));
        assert_eq!(rejected, [false, true, true]);
    }

    /// Changes in the order of NATS. Each happens after the previous one.
    fn changes() -> impl Strategy<Value = Vec<AccountChange>> {
        prop::collection::vec((0_usize..6, any::<bool>(), 0_u64..20_000), 0..60).prop_map(|steps| {
            let mut now = START;
            let changes = steps.into_iter().map(|(number, is_enabled, seconds)| {
                now += Duration::from_secs(seconds);
                change(number, is_enabled, now)
            });
            changes.collect()
        })
    }

    /// Returns the change that decides about a user's tokens: the latest one.
    fn latest(changes: &[AccountChange], number: usize) -> Option<&AccountChange> {
        changes.iter().rfind(|change| change.user == user(number))
    }

    proptest! {
        #[test]
        fn latest_change_decides_until_tokens_expire(
            changes in changes(),
            number in 0_usize..6,
            issued in 0_u64..1_200_000,
        ) {
            let revocations = revocations_after(usize::MAX, &changes);
            let issued = IssuedAt::new(DAY_BEFORE + Duration::from_secs(issued));
            let expected = latest(&changes, number).is_some_and(|change| change.revokes(issued));
            let now = changes.last().map_or(START, |change| change.changed_at);
            let has_expired = issued.unix_time() + Duration::from_hours(24) < now;
            prop_assert!(revocations.is_revoked(&user(number), issued) == expected || has_expired);
        }

        #[test]
        fn number_of_accounts_is_limited(
            changes in changes(),
            limit in 0_usize..6,
        ) {
            let (bounded, all) = (revocations_after(limit, &changes), revocations_after(usize::MAX, &changes));
            prop_assert!(bounded.disabled.len() <= limit);
            let pairs: BTreeSet<_> = bounded.disabled.iter().map(|(user, at)| (*at, user.clone())).collect();
            prop_assert_eq!(&pairs, &bounded.by_time);
            // With the limit, a subset of the accounts is remembered, and none of them was disabled before a forgotten one.
            let forgotten = all.by_time.difference(&bounded.by_time);
            prop_assert!(bounded.by_time.is_subset(&all.by_time));
            prop_assert!(forgotten.last().zip(bounded.by_time.first()).is_none_or(|(forgotten, kept)| forgotten < kept));
        }
    }
}
