//! The latency of an event, which ends when the last stream takes it.

use super::*;

/// Returns metrics that expect exactly these latencies, in seconds.
fn metrics(latencies: &[u64]) -> MockMetrics {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_replayed().return_const(());
    metrics.expect_lagging().return_const(());
    metrics.expect_gap_reported().return_const(());
    for latency in latencies {
        metrics.expect_delivery_completed().once().with(eq(s(*latency))).return_const(());
    }
    metrics
}

#[tokio::test(start_paused = true)]
async fn ends_when_last_stream_takes_event() {
    let mut service = Service::start_with(POLICY, metrics(&[5]), PLAIN_FRAMES).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    service.publish_of(&["a", "b"], "t", "1", s(2));
    run_until_idle().await;
    for client in &mut clients {
        assert_eq!(client.read(), ["1"]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    drop(clients);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ends_when_last_stream_closes() {
    let mut service = Service::start_with(POLICY, metrics(&[4]), PLAIN_FRAMES).await;
    let [mut reading, leaving] = ["a", "a"].map(|name| service.open(name));
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(reading.read(), ["1"]);
    tokio::time::sleep(s(4)).await;
    drop(leaving);
    drop(reading);
    service.stop().await;
}

/// The client has missed the event by its own absence, which is no latency of the service.
#[tokio::test(start_paused = true)]
async fn excludes_replays() {
    let mut service = Service::start_with(POLICY, metrics(&[7]), PLAIN_FRAMES).await;
    let mut open = service.open("a");
    service.publish(&["a"], "1");
    run_until_idle().await;
    let mut returning = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(returning.read(), ["1"]);
    drop(service.try_open(after("a", id(0))).expect("a stream"));
    tokio::time::sleep(s(7)).await;
    assert_eq!(open.read(), ["1"]);
    drop((open, returning));
    service.stop().await;
}

/// The event counts as late, although the slow client never takes it.
#[tokio::test(start_paused = true)]
async fn ends_when_the_log_evicts_the_event() {
    let log = LogLimits { max_age: s(20), ..POLICY.log };
    let policy = StreamPolicy { log, ..POLICY };
    let mut service = Service::start_with(policy, metrics(&[20]), PLAIN_FRAMES).await;
    let [mut fast, mut slow] = ["a", "a"].map(|name| service.open(name));
    tokio::spawn(service.subscriptions.clone().maintain());
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(fast.read(), ["1"]);
    tokio::time::sleep(s(21)).await;
    assert_eq!(slow.read(), [gap(GapReason::Expired, "1-0", id(1))]);
    drop((fast, slow));
    service.stop().await;
}

/// An ended stream does not take events published after its end.
#[tokio::test(start_paused = true)]
async fn excludes_ended_streams() {
    let mut service = Service::start_with(POLICY, metrics(&[3, 9]), PLAIN_FRAMES).await;
    let mut ended = service.open("a");
    service.publish(&["a"], "1");
    run_until_idle().await;
    service.subscriptions.end_streams_of(&user("a"));
    let mut open = service.open("a");
    service.publish(&["a"], "2");
    run_until_idle().await;
    tokio::time::sleep(s(3)).await;
    assert_eq!(ended.read(), ["1", "Administrator"]);
    drop(ended);
    tokio::time::sleep(s(6)).await;
    assert_eq!(open.read(), ["2"]);
    drop(open);
    service.stop().await;
}

/// The same holds for a stream that was ended while it replayed.
#[tokio::test(start_paused = true)]
async fn excludes_streams_ended_during_replay() {
    let mut service = Service::start_with(POLICY, metrics(&[2, 9]), PLAIN_FRAMES).await;
    service.publish(&["a"], "1");
    run_until_idle().await;
    let replaying = service.try_open(after("a", id(0))).expect("a stream");
    service.publish(&["a"], "2");
    run_until_idle().await;
    service.subscriptions.end_streams_of(&user("a"));
    let mut open = service.open("a");
    service.publish(&["a"], "3");
    run_until_idle().await;
    tokio::time::sleep(s(2)).await;
    drop(replaying);
    tokio::time::sleep(s(7)).await;
    assert_eq!(open.read(), ["3"]);
    drop(open);
    service.stop().await;
}
