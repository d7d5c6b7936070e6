use std::time::Duration;

use domain::log::EndReason;

use crate::outbound::{Measurements, Metrics, Outcome};

/// Tests that [`Measurements`] returns what was counted by the same [`Metrics`]. Nothing was counted before.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub fn measurements(counts: &(impl Metrics + Measurements)) {
    const REASONS: [EndReason; 10] = [
        EndReason::Client,
        EndReason::WriteTimeout,
        EndReason::Expired,
        EndReason::Logout,
        EndReason::Revoked,
        EndReason::MaxAge,
        EndReason::Replaced,
        EndReason::Administrator,
        EndReason::Stopping,
        EndReason::HandedOver,
    ];
    let before = counts.statistics();
    assert_eq!((before.streams, before.users, before.opened), (0, 0, 0));
    assert_eq!((before.events, before.deliveries), (0, 0));
    assert_eq!((before.latency.quantile(0.5), before.nats_connected, before.nats_lag), (None, false, 0));

    // Each reason is counted once more than the previous one.
    for (times, reason) in (1..).zip(REASONS) {
        for _ in 0..times {
            counts.stream_opened(9, 5);
            counts.stream_closed(reason, 3, 2);
        }
    }
    for outcome in [
        Outcome::Delivered,
        Outcome::NoSubscriber,
        Outcome::LanguageChosen,
        Outcome::AccountChanged,
        Outcome::OtherType,
        Outcome::Unreadable,
    ] {
        counts.event_received(outcome);
    }
    counts.delivered(7);
    counts.delivery_completed(Duration::from_millis(10));
    counts.nats_connected(true);
    counts.nats_lag(5);

    let statistics = counts.statistics();
    assert_eq!((statistics.streams, statistics.users), (3, 2), "the streams open now");
    assert_eq!(statistics.opened, (1..=10).sum::<u64>());
    let mut ended = statistics.ended;
    ended.retain(|(_, times)| *times > 0);
    assert_eq!(ended.len(), REASONS.len());
    for (times, reason) in (1..).zip(REASONS) {
        assert!(ended.contains(&(reason, times)), "{times} of {reason:?} in {ended:?}");
    }
    assert_eq!((statistics.events, statistics.deliveries), (2, 7), "events for this service");
    assert_eq!(statistics.latency.quantile(1.0), Some(Duration::from_millis(10)));
    assert_eq!((statistics.nats_connected, statistics.nats_lag), (true, 5));
    counts.nats_connected(false);
    assert!(!counts.statistics().nats_connected);
}
