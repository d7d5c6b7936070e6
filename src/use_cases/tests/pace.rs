//! The pace of the relay.

use super::*;
use crate::use_cases::pace::{Pace, Pacer};

/// The number of bytes after which the relay pauses.
const PAUSE_AFTER_BYTES: usize = 1024 * 1024;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Returns the duration of the pause after `bytes` were appended.
async fn wait(pacer: &mut Pacer, bytes: usize, pace: &Pace) -> Duration {
    let start = now();
    pacer.appended(bytes, pace).await;
    now() - start
}

#[tokio::test(start_paused = true)]
async fn pauses_once_per_mebibyte() {
    let (pace, mut pacer) = (Pace::default(), Pacer::default());
    for _ in 0..2 {
        pace.woken();
        assert_eq!(wait(&mut pacer, PAUSE_AFTER_BYTES - 1, &pace).await, ms(0));
        assert_eq!(wait(&mut pacer, 1, &pace).await, ms(5), "its client may not be reading");
        assert_eq!(
            wait(&mut pacer, PAUSE_AFTER_BYTES, &pace).await,
            ms(0),
            "the pacer does not wait for it again"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pause_ends_when_all_connections_have_taken() {
    let (pace, mut pacer) = (Pace::default(), Pacer::default());
    // This connection was not counted when it was woken, because it did not accept data.
    pace.taken();
    pace.woken();
    pace.woken();
    let connections = async {
        for _ in 0..2 {
            tokio::time::sleep(ms(1)).await;
            pace.taken();
        }
    };
    let (waited, ()) = tokio::join!(wait(&mut pacer, PAUSE_AFTER_BYTES, &pace), connections);
    assert_eq!(waited, ms(2));
}

#[tokio::test(start_paused = true)]
async fn relay_pauses_for_woken_connections() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    assert_eq!(client.read(), NOTHING);
    // An event counts twice the size of its text.
    for _ in 0..2 {
        service.publish(&["a"], &"x".repeat(PAUSE_AFTER_BYTES / 2));
    }
    run_until_idle().await;
    assert_eq!(service.held(), [1]);
    assert_eq!(client.read().len(), 1);
    run_until_idle().await;
    assert_eq!(service.held(), [1, 2]);
    service.stop().await;
}
