//! The limits of open streams.

use domain::log::LimitReached;

use super::*;

#[tokio::test(start_paused = true)]
async fn reject_new_streams_only() {
    let limits = StreamLimits { total: 3, per_user: 2 };
    let mut service = Service::start(StreamPolicy { limits, ..POLICY }).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    let rejected = |name: &str| service.try_open(request(name)).err();
    assert!(matches!(rejected("c"), Some(SubscribeError::TooMany { .. })));
    let mut times = Vec::new();
    for _ in 0..5 {
        let Some(SubscribeError::TooMany { retry_after }) = rejected("a") else { panic!("a stream") };
        times.push(retry_after);
    }
    assert!(times.iter().all(|time| (s(6)..=s(9)).contains(time)), "{times:?}");
    assert!(times.windows(2).all(|two| two[0] != two[1]), "not all at once: {times:?}");
    service.publish(&["a", "b"], "x");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["x"]; 3]);
    let [_first, second, third] = clients;
    drop(third);
    assert!(matches!(service.try_open(request("a")).err(), Some(SubscribeError::TooManyOfUser { .. })));
    drop(second);
    assert!(service.try_open(request("a")).is_ok());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn are_counted_when_reached() {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    for limit in [LimitReached::PerUser, LimitReached::Total] {
        metrics.expect_limit_reached().once().with(eq(limit)).return_const(());
    }
    let limits = StreamLimits { total: 2, per_user: 1 };
    let service = Service::start_with(StreamPolicy { limits, ..POLICY }, metrics, PLAIN_FRAMES).await;
    let first = service.open("a");
    assert!(service.try_open(request("a")).is_err());
    let second = service.open("b");
    assert!(service.try_open(request("c")).is_err());
    drop((first, second));
    service.stop().await;
}

/// An ended stream does not count, even if its slow client still reads the last events.
#[tokio::test(start_paused = true)]
async fn ignore_ended_streams() {
    let limits = StreamLimits { total: 2, per_user: 1 };
    let service = Service::start(StreamPolicy { limits, ..POLICY }).await;
    let _ended = service.open("a");
    assert!(matches!(service.try_open(request("a")).err(), Some(SubscribeError::TooManyOfUser { .. })));
    service.subscriptions.end_streams_of(&user("a"));
    let _open = [service.open("a"), service.open("b")];
    assert!(matches!(service.try_open(request("c")).err(), Some(SubscribeError::TooMany { .. })));
    service.stop().await;
}
