//! How streams live and end.

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A request with a token that is valid for so long.
fn request_for(name: &str, time: Duration) -> StreamRequest {
    StreamRequest { principal: Principal { user: user(name), until: time }, ..request(name) }
}

#[tokio::test(start_paused = true)]
async fn each_silent_stream_gets_one_comment_and_a_busy_one_none() {
    let mut metrics = any_metrics();
    metrics.checkpoint();
    metrics.expect_bus_connected().return_const(());
    metrics.expect_stream_opened().return_const(());
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_keepalive_sent().times(9).return_const(());
    let history = HistoryLimits { max_age: Duration::ZERO, ..POLICY.history };
    let policy = StreamPolicy { keepalive: KeepalivePolicy::every(s(10)), history, ..POLICY };
    let mut house = House::before_the_bus(policy, metrics, PlainFrames);
    house.bus_is_there().await;
    let tabs = [(); 3].map(|()| FakeOutbox::new(100));
    let busy = FakeOutbox::new(100);
    let mut open: Vec<_> = tabs.iter().map(|tab| house.open("silent", tab)).collect();
    open.push(house.open("busy", &busy));
    let upkeep = tokio::spawn(house.subscriptions.clone().look_after());
    for _ in 0..35 {
        house.publish(&["busy"], "x");
        tokio::time::sleep(s(1)).await;
    }
    upkeep.abort();
    assert!(upkeep.await.expect_err("it never ends").is_cancelled());
    assert_eq!(tabs.map(|tab| tab.waiting()), [3, 3, 3]);
    assert!(busy.state.lock().waiting.iter().all(|frame| frame == "x"));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_says_why() {
    let house = House::with(POLICY).await;
    tokio::spawn(house.subscriptions.clone().look_after());
    let (short, long) = (FakeOutbox::new(9), FakeOutbox::new(9));
    let _short = house.ask(request_for("a", s(100)), &short).expect("a place");
    let _long = house.ask(request_for("a", s(1000)), &long).expect("a place");
    tokio::time::sleep(s(94)).await;
    assert_eq!(short.ended(), None);
    tokio::time::sleep(s(7)).await;
    assert_eq!((short.ended(), short.take()), (Some(EndReason::Expired), vec!["Expired".to_owned()]));
    assert_eq!(long.ended(), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_age() {
    let house = House::with(StreamPolicy { max_age: Some(s(60)), ..POLICY }).await;
    tokio::spawn(house.subscriptions.clone().look_after());
    let outbox = FakeOutbox::new(9);
    let _open = house.open("a", &outbox);
    tokio::time::sleep(s(62)).await;
    assert_eq!((outbox.ended(), outbox.take()), (Some(EndReason::OldAge), vec!["OldAge".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_logout_is_written_and_ends_that_users_streams() {
    for (close_on_logout, ended) in [(true, Some(EndReason::Logout)), (false, None)] {
        let mut house = House::with(StreamPolicy { close_on_logout, ..POLICY }).await;
        let [one, two, other] = [(); 3].map(|()| FakeOutbox::new(9));
        let _open = [house.open("a", &one), house.open("a", &two), house.open("b", &other)];
        house.publish_of(&["a"], "backchannel-logout", "bye", Duration::ZERO);
        settle().await;
        assert_eq!([one.ended(), two.ended(), other.ended()], [ended, ended, None]);
        let taken = one.take();
        assert_eq!(taken[0], "bye");
        assert_eq!(taken.len(), if close_on_logout { 2 } else { 1 });
        house.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_was_missed_ends_the_stream_as_well() {
    let mut house = House::with(POLICY).await;
    house.publish(&["a"], "1");
    house.publish_of(&["a"], "backchannel-logout", "bye", Duration::ZERO);
    house.publish(&["a"], "3");
    settle().await;
    let outbox = FakeOutbox::new(9);
    let again = StreamRequest { last_event_id: Some(id(0).to_string()), ..request("a") };
    let _open = house.ask(again, &outbox).expect("a place");
    assert_eq!(
        (outbox.ended(), outbox.take()),
        (Some(EndReason::Logout), ["1", "bye", "Logout"].map(Into::into).to_vec())
    );
    // Whoever comes back after it goes on from there.
    let outbox = FakeOutbox::new(9);
    let again = StreamRequest { last_event_id: Some(id(2).to_string()), ..request("a") };
    let _open = house.ask(again, &outbox).expect("a place");
    assert_eq!((outbox.ended(), outbox.take()), (None, vec!["3".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn limits_refuse_new_streams_and_disturb_none_that_is_open() {
    let limits = StreamLimits { total: 3, per_user: 2 };
    let mut house = House::with(StreamPolicy { limits, ..POLICY }).await;
    let outboxes = [(); 3].map(|()| FakeOutbox::new(9));
    let open = [house.open("a", &outboxes[0]), house.open("a", &outboxes[1]), house.open("b", &outboxes[2])];
    let refused = |name: &str| house.ask(request(name), &FakeOutbox::new(9)).err();
    assert!(matches!(refused("c"), Some(Refused::TooMany { .. })));
    let mut times = Vec::new();
    for _ in 0..5 {
        let Some(Refused::TooMany { retry_after }) = refused("a") else { panic!("a place") };
        times.push(retry_after);
    }
    assert!(times.iter().all(|time| (s(6)..=s(9)).contains(time)), "{times:?}");
    assert!(times.windows(2).all(|two| two[0] != two[1]), "not all at once: {times:?}");
    house.publish(&["a", "b"], "x");
    settle().await;
    assert_eq!(outboxes.map(|outbox| (outbox.ended(), outbox.waiting())), [(None, 1), (None, 1), (None, 1)]);
    let [_, second, third] = open;
    drop(third);
    assert!(matches!(
        house.ask(request("a"), &FakeOutbox::new(9)).map(drop),
        Ok(()) | Err(Refused::TooManyOfUser { .. })
    ));
    drop(second);
    assert!(house.ask(request("a"), &FakeOutbox::new(9)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn stopping_refuses_new_streams_and_ends_the_open_ones_one_after_the_other() {
    let mut house = House::with(POLICY).await;
    let outboxes: Vec<_> = (0..10).map(|_| FakeOutbox::new(9)).collect();
    let _open: Vec<_> = outboxes.iter().map(|outbox| house.open("a", outbox)).collect();
    let draining = house.subscriptions.clone();
    let draining = tokio::spawn(async move { draining.drain(s(10)).await });
    let ended = || outboxes.iter().filter(|outbox| outbox.ended() == Some(EndReason::Stopping)).count();
    settle().await;
    assert_eq!(ended(), 1);
    assert!(matches!(house.ask(request("b"), &FakeOutbox::new(9)), Err(Refused::Stopping { .. })));
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(ended(), 5);
    // Until its turn comes, each is served as before.
    house.publish(&["a"], "x");
    settle().await;
    let served = outboxes.iter().filter(|outbox| outbox.ended().is_none()).map(|outbox| outbox.waiting());
    assert_eq!(served.collect::<Vec<_>>(), [1; 5]);
    draining.await.expect("it ends");
    assert_eq!(ended(), 10);
    let mut farewells: Vec<_> = outboxes.iter().filter_map(|outbox| outbox.take().pop()).collect();
    assert!(farewells.iter().all(|last| last.starts_with("Stopping, back in ")), "{farewells:?}");
    farewells.sort();
    farewells.dedup();
    assert_eq!(farewells.len(), 10, "each has a time of its own");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_leaves_nothing_behind() {
    let mut metrics = MockMetrics::new();
    metrics.expect_bus_connected().return_const(());
    metrics.expect_stream_opened().once().with(eq(1), eq(1)).return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let house = House::new(metrics, PlainFrames).await;
    let outbox = FakeOutbox::new(1);
    drop(house.open("a", &outbox));
    assert_eq!(Arc::strong_count(&outbox), 1, "nobody else holds the queue");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_once_and_for_the_first_reason() {
    let mut metrics = MockMetrics::new();
    metrics.expect_bus_connected().return_const(());
    metrics.expect_stream_opened().return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Slow), eq(0), eq(0)).return_const(());
    let house = House::new(metrics, PlainFrames).await;
    let mut open = house.open("a", &FakeOutbox::new(1));
    open.membership.leave(EndReason::Slow);
    open.membership.leave(EndReason::Logout);
    drop(open);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_the_bus_leaves_nothing_behind_either() {
    let house = House::before_the_bus(POLICY, any_metrics(), PlainFrames);
    let outbox = FakeOutbox::new(1);
    let open = house.open("a", &outbox);
    settle().await;
    drop(open);
    settle().await;
    assert_eq!(Arc::strong_count(&outbox), 1, "nobody else holds the queue");
}
