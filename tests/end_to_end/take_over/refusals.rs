//! Take-overs that do not happen, or without streams: each with a clear answer, and no event is lost.

use std::os::unix::fs::PermissionsExt as _;

use super::{Generations, logged, taken_over};
use crate::{program::Program, service::SECRET};

/// Checks that `refused` ends with this error, and that an open stream of the running process continues.
async fn is_refused(mut refused: Program, error: &str) {
    let errors = refused.remaining_errors().await;
    assert!(errors.contains(error), "{errors}");
    assert_eq!(refused.status().await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_cannot_take_over_at_once() {
    let generations = Generations::new().await;
    let mut running = generations.first(&[]).await;
    let mut stream = generations.follow("einstein").await;
    // It never gets ready.
    let mut waiting = generations.start(&[("OCIS_EVENTS_ENDPOINT", "127.0.0.1:1")]);
    logged(&mut waiting, "listening").await;
    is_refused(generations.start(&[]), "another process takes over at present").await;
    waiting.kill().await;
    let failed = logged(&mut running, "the take-over has failed, this process continues").await;
    assert_eq!(failed["cause"], "it has ended");
    let publisher = generations.nats.publisher().await;
    publisher.event(&["einstein"], "t", "still here").await;
    assert_eq!(stream.content().await, "still here");
    // And another one can.
    let mut successor = generations.start(&[]);
    taken_over(&mut running, &mut successor).await;
}

/// The streams were opened with tokens that the new process does not accept.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_if_the_secret_is_another_one() {
    let generations = Generations::new().await;
    let mut running = generations.first(&[]).await;
    let mut stream = generations.follow("einstein").await;
    let secret = "another secret of more than thirty-two bytes";
    let mut successor = generations.start(&[("OCIS_JWT_SECRET", secret)]);
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    let warned =
        logged(&mut running, "the other process continues no stream, so all streams are ended here").await;
    assert_eq!(warned["reason"], "it has another token_manager.jwt_secret");
    assert_eq!(taken_over(&mut running, &mut successor).await, 0);
    // The next one accepts the tokens of both.
    let both = [("OCIS_JWT_SECRET", SECRET), ("SSE_JWT_SECRET_PREVIOUS", secret)];
    let mut next = generations.start(&both);
    taken_over(&mut successor, &mut next).await;
    generations.follow("einstein").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_limits_end_no_stream_in_the_clear() {
    let generations = Generations::new().await;
    let mut running = generations.first(&[]).await;
    let mut streams = [generations.follow("einstein").await, generations.follow("einstein").await];
    let lower =
        [("SSE_MAX_CONNECTIONS", "1"), ("SSE_MAX_CONNECTIONS_PER_USER", "1"), ("SSE_HISTORY_MAX_AGE", "0s")];
    let mut successor = generations.start(&lower);
    assert_eq!(taken_over(&mut running, &mut successor).await, 2);
    let publisher = generations.nats.publisher().await;
    publisher.event(&["einstein"], "t", "for both").await;
    for stream in &mut streams {
        assert_eq!(stream.content().await, "for both");
    }
}

/// The new process has descriptors for some of the streams. The others end, and their clients return.
#[tokio::test(flavor = "multi_thread")]
async fn fewer_descriptors_continue_some_streams_in_the_clear() {
    const STREAMS: u64 = 100;
    let generations = Generations::new().await;
    let mut running = generations.first(&[]).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(generations.follow_as_new_user().await);
    }
    let mut successor = generations.start_with_descriptors(160);
    let continued = taken_over(&mut running, &mut successor).await.as_u64().expect("a number");
    assert!((50..STREAMS).contains(&continued), "{continued} streams continue");
    let publisher = generations.nats.publisher().await;
    publisher.event(&["all"], "t", "for all").await;
    let mut ended = 0;
    for stream in &mut streams {
        let next = stream.next().await.expect("an event or a comment");
        ended += u64::from(next.0.contains(": the service is stopping"));
    }
    assert_eq!(continued + ended, STREAMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_is_only_for_this_user_and_needed() {
    let generations = Generations::new().await;
    let _running = generations.first(&[]).await;
    let mode = std::fs::metadata(generations.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = ("OCIS_JWT_SECRET", SECRET);
    let error = "--take-over: handover.socket must be set; use for example /run/ocis-sse/handover.sock";
    is_refused(Program::start(&["server", "--take-over"], &[secret]), error).await;
}
