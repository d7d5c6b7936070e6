//! Tokens that are refused although they have not expired: their user's account was disabled or deleted after they were issued.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::identity::{IssuedAt, UserId};

/// How far the clocks of the machines that issue tokens and that take events may differ. The time of issue has whole seconds, so a token
/// that was issued in the second of an event may be older or newer than the event; it counts as older.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);
/// The longest life of a token, with leeways: those of the platform's proxy live 24 hours.
const MAX_TOKEN_LIFE: Duration = Duration::from_hours(25);

/// An account was disabled or deleted, or enabled again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// Whose account it is.
    pub user: UserId,
    /// Whether it can be used from then on.
    pub is_enabled: bool,
    /// When NATS took the event that says so, by the clock of NATS: the time since 1970.
    pub at: Duration,
}

impl AccountChange {
    /// Whether a token of the user that was issued at `issued` is no longer accepted.
    #[must_use]
    pub fn revokes(&self, issued: IssuedAt) -> bool {
        !self.is_enabled && is_revoked(issued, self.at)
    }
}

fn is_revoked(issued: IssuedAt, disabled: Duration) -> bool {
    issued.unix_time() <= disabled.saturating_add(CLOCK_LEEWAY)
}

/// The accounts that were disabled or deleted so lately that a token from before may not have expired yet.
///
/// Once an account is enabled again, tokens from before are accepted again: it is the same person's account, and a token says nothing else.
#[derive(Debug)]
pub struct Revocations {
    limit: usize,
    /// When each account was disabled.
    disabled: BTreeMap<UserId, Duration>,
    /// The same, the longest ago first.
    by_time: BTreeSet<(Duration, UserId)>,
}

impl Revocations {
    /// Remembers `limit` accounts at most; beyond that those are forgotten that were disabled longest ago.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, disabled: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Takes note of a change, unless a later one of the same account is known. Forgets accounts that were disabled so long before it that
    /// every token from then has expired.
    pub fn apply(&mut self, change: &AccountChange) {
        let AccountChange { user, is_enabled, at } = change;
        if let Some(known) = self.disabled.get(user).copied() {
            if known > *at {
                return;
            }
            self.forget(known, user);
        }
        if !is_enabled {
            self.disabled.insert(user.clone(), *at);
            self.by_time.insert((*at, user.clone()));
        }
        while let Some((disabled, user)) = self.by_time.first().cloned()
            && (self.disabled.len() > self.limit || disabled.saturating_add(MAX_TOKEN_LIFE) < *at)
        {
            self.forget(disabled, &user);
        }
    }

    /// Whether a token of `user` that was issued at `issued` is refused.
    #[must_use]
    pub fn is_revoked(&self, user: &UserId, issued: IssuedAt) -> bool {
        self.disabled.get(user).is_some_and(|disabled| is_revoked(issued, *disabled))
    }

    fn forget(&mut self, disabled: Duration, user: &UserId) {
        self.disabled.remove(user);
        self.by_time.remove(&(disabled, user.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some day in 2026.
    const START: Duration = Duration::from_secs(1_795_450_249);
    const DAY_BEFORE: Duration = Duration::from_secs(1_795_363_849);

    fn user(number: usize) -> UserId {
        UserId::try_new(&number.to_string()).expect("a user id")
    }

    fn change(number: usize, is_enabled: bool, at: Duration) -> AccountChange {
        AccountChange { user: user(number), is_enabled, at }
    }

    fn learned(limit: usize, changes: &[AccountChange]) -> Revocations {
        let mut revocations = Revocations::new(limit);
        for change in changes {
            revocations.apply(change);
        }
        revocations
    }

    #[test]
    fn token_issued_before_the_event_is_refused() {
        let at = START + Duration::from_millis(300);
        let disabled = change(1, false, at);
        let check = |issued: IssuedAt, expected: bool| {
            assert_eq!(disabled.revokes(issued), expected, "{issued:?}");
            let revocations = learned(10, std::slice::from_ref(&disabled));
            assert_eq!(revocations.is_revoked(&user(1), issued), expected, "{issued:?}");
            assert!(!revocations.is_revoked(&user(2), issued), "another user's token");
            assert!(!change(1, true, at).revokes(issued));
        };
        check(IssuedAt::UNKNOWN, true);
        check(IssuedAt::new(DAY_BEFORE), true);
        // It may have been issued a moment before the event or a moment after it.
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
            let revocations = learned(10, &changes);
            assert_eq!(revocations.is_revoked(&user(1), IssuedAt::new(START)), expected, "{changes:?}");
        };
        check(&[], false);
        check(&[(true, 1)], false);
        check(&[(false, 1), (true, 2)], false);
        check(&[(false, 1), (true, 2), (false, 3)], true);
        check(&[(false, 3), (true, 2)], true);
        // Of two events at the same time the one that comes later counts.
        check(&[(false, 1), (true, 1)], false);
    }

    #[test]
    fn account_is_forgotten_when_its_tokens_have_expired() {
        let check = |later: Duration, expected: bool| {
            let revocations = learned(10, &[change(1, false, START), change(2, true, START + later)]);
            assert_eq!(revocations.is_revoked(&user(1), IssuedAt::new(START)), expected);
            assert_eq!(
                (revocations.disabled.len(), revocations.by_time.len()),
                (expected.into(), expected.into())
            );
        };
        check(Duration::from_hours(24), true);
        check(MAX_TOKEN_LIFE, true);
        check(MAX_TOKEN_LIFE + Duration::from_nanos(1), false);
    }

    #[test]
    fn limit_forgets_the_accounts_disabled_first() {
        let at = |seconds: u64| START + Duration::from_secs(seconds);
        let changes = [change(1, false, at(0)), change(2, false, at(1)), change(3, false, at(2))];
        let revocations = learned(2, &changes);
        let refused = [1, 2, 3].map(|number| revocations.is_revoked(&user(number), IssuedAt::UNKNOWN));
        assert_eq!(refused, [false, true, true]);
    }

    /// Changes in the order of NATS, each some time after the one before.
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

    /// What counts for a user's tokens: the latest change.
    fn latest(changes: &[AccountChange], number: usize) -> Option<&AccountChange> {
        changes.iter().rfind(|change| change.user == user(number))
    }

    proptest! {
        #[test]
        fn latest_change_decides_until_every_token_has_expired(
            changes in changes(),
            number in 0_usize..6,
            issued in 0_u64..1_200_000,
        ) {
            let revocations = learned(usize::MAX, &changes);
            let issued = IssuedAt::new(DAY_BEFORE + Duration::from_secs(issued));
            let expected = latest(&changes, number).is_some_and(|change| change.revokes(issued));
            let now = changes.last().map_or(START, |change| change.at);
            let has_expired = issued.unix_time() + Duration::from_hours(24) < now;
            prop_assert!(revocations.is_revoked(&user(number), issued) == expected || has_expired);
        }

        #[test]
        fn number_of_accounts_is_limited(
            changes in changes(),
            limit in 0_usize..6,
        ) {
            let (bounded, all) = (learned(limit, &changes), learned(usize::MAX, &changes));
            prop_assert!(bounded.disabled.len() <= limit);
            let pairs: BTreeSet<_> = bounded.disabled.iter().map(|(user, at)| (*at, user.clone())).collect();
            prop_assert_eq!(&pairs, &bounded.by_time);
            // What is remembered is a part of what would be without the limit, and nothing older is remembered than what was forgotten.
            let forgotten = all.by_time.difference(&bounded.by_time);
            prop_assert!(bounded.by_time.is_subset(&all.by_time));
            prop_assert!(forgotten.last().zip(bounded.by_time.first()).is_none_or(|(lost, kept)| lost < kept));
        }
    }
}
