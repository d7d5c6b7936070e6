//! The pace at which NATS is read.

use super::*;
use crate::use_cases::pace::{Pace, Pacer};

/// Behind so many bytes the connections have a turn.
const TURN_BYTES: usize = 1024 * 1024;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// For how long it is waited when `bytes` were appended.
async fn wait(pacer: &mut Pacer, bytes: usize, pace: &Pace) -> Duration {
    let began = now();
    pacer.appended(bytes, pace).await;
    now() - began
}

#[tokio::test(start_paused = true)]
async fn gives_a_turn_from_time_to_time_and_waits_for_it_once() {
    let (pace, mut pacer) = (Pace::default(), Pacer::default());
    for _ in 0..2 {
        pace.woken();
        assert_eq!(wait(&mut pacer, TURN_BYTES - 1, &pace).await, ms(0));
        assert_eq!(wait(&mut pacer, 1, &pace).await, ms(5), "its client may not read");
        assert_eq!(wait(&mut pacer, TURN_BYTES, &pace).await, ms(0), "it is not waited for again");
    }
}

#[tokio::test(start_paused = true)]
async fn goes_on_when_all_connections_have_had_their_turn() {
    let (pace, mut pacer) = (Pace::default(), Pacer::default());
    // It was not counted, because it could not be written to.
    pace.taken();
    pace.woken();
    pace.woken();
    let connections = async {
        for _ in 0..2 {
            tokio::time::sleep(ms(1)).await;
            pace.taken();
        }
    };
    let (waited, ()) = tokio::join!(wait(&mut pacer, TURN_BYTES, &pace), connections);
    assert_eq!(waited, ms(2));
}

#[tokio::test(start_paused = true)]
async fn is_that_of_connections_that_were_woken() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    assert_eq!(client.read(), NOTHING);
    // An event counts for its text twice.
    for _ in 0..2 {
        service.publish(&["a"], &"x".repeat(TURN_BYTES / 2));
    }
    settle().await;
    assert_eq!(service.held(), [1]);
    assert_eq!(client.read().len(), 1);
    settle().await;
    assert_eq!(service.held(), [1, 2]);
    service.stop().await;
}
