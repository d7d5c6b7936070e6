use std::time::Duration;

use crate::outbound::Clock;

/// Tests a [`Clock`]. `pause` lets a moment pass, however short.
///
/// # Panics
///
/// An obligation is not met.
pub async fn clock(clock: &impl Clock, pause: impl AsyncFn()) {
    const LONG_ENOUGH: Duration = Duration::from_millis(50);
    /// The machine may correct its wall clock a little.
    const CORRECTION: Duration = Duration::from_millis(5);
    let before = clock.now();
    let unix_time = clock.unix_time();
    let began = clock.now();
    let (mut last, mut elapsed) = (began, Duration::ZERO);
    while elapsed < LONG_ENOUGH {
        pause().await;
        let now = clock.now();
        assert!(now >= last, "it went back by {:?}", last - now);
        (last, elapsed) = (now, now - began);
    }
    // Nobody sets the wall clock meanwhile.
    let passed = clock.unix_time().checked_sub(unix_time).expect("the wall clock went back");
    let most = clock.now() - before;
    assert!(
        passed + CORRECTION >= elapsed && passed <= most + CORRECTION,
        "{passed:?} passed on the wall clock"
    );
}
