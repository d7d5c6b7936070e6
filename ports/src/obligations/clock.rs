use std::time::Duration;

use crate::outbound::Clock;

/// Tests a [`Clock`]. `pause` lets some time pass, however little.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn clock(clock: &impl Clock, pause: impl AsyncFn()) {
    const MIN_ELAPSED: Duration = Duration::from_millis(50);
    /// The machine may adjust its wall clock a little.
    const TOLERANCE: Duration = Duration::from_millis(5);
    let before = clock.now();
    let unix_time = clock.unix_time();
    let started = clock.now();
    let (mut last, mut elapsed) = (started, Duration::ZERO);
    while elapsed < MIN_ELAPSED {
        pause().await;
        let now = clock.now();
        assert!(now >= last, "it went back by {:?}", last - now);
        (last, elapsed) = (now, now - started);
    }
    // The wall clock is not set meanwhile.
    let passed = clock.unix_time().checked_sub(unix_time).expect("the wall clock went back");
    let limit = clock.now() - before;
    assert!(
        passed + TOLERANCE >= elapsed && passed <= limit + TOLERANCE,
        "{passed:?} passed on the wall clock"
    );
}
