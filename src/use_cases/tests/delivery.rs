//! From the bus to the streams.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_stream_of_a_named_user_gets_an_event_in_order_and_nobody_else() {
    let mut house = House::new(any_metrics(), PlainFrames).await;
    let [one, two, other] = [(); 3].map(|()| FakeOutbox::new(10));
    let _open = [house.open("a", &one), house.open("a", &two), house.open("b", &other)];
    for outbox in [&one, &two, &other] {
        outbox.read_every(Duration::from_millis(1));
    }
    house.publish(&["a"], "1");
    house.publish(&["a", "b", "a"], "2");
    house.publish(&["nobody"], "3");
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!([one.read(), two.read(), other.read()], [vec!["1", "2"], vec!["1", "2"], vec!["2"]]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_encoded_once_and_only_when_somebody_is_there() {
    let mut frames = MockFrames::new();
    frames.expect_opening().return_const(None);
    frames.expect_event().once().return_const(Frame::from_static(b"x"));
    let mut metrics = any_metrics();
    metrics.checkpoint();
    metrics.expect_stream_opened().return_const(());
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().once().with(eq(Outcome::NoSubscriber)).return_const(());
    metrics.expect_event_received().once().with(eq(Outcome::Delivered)).return_const(());
    metrics.expect_delivered().once().with(eq(3)).return_const(());
    metrics.expect_bus_connected().return_const(());
    let mut house = House::new(metrics, frames).await;
    let outboxes = [(); 3].map(|()| FakeOutbox::new(10));
    let _open = [house.open("a", &outboxes[0]), house.open("a", &outboxes[1]), house.open("b", &outboxes[2])];
    house.publish(&["c"], "");
    house.publish(&["a", "b"], "");
    settle().await;
    assert_eq!(outboxes.map(|outbox| outbox.waiting()), [1, 1, 1]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_everything_and_is_not_cut() {
    let mut house = House::new(any_metrics(), PlainFrames).await;
    let slow = FakeOutbox::new(4);
    let _open = house.open("a", &slow);
    slow.read_every(Duration::from_millis(100));
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    for content in &expected {
        house.publish(&["a"], content);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(slow.ended(), None);
    assert_eq!(slow.read(), expected);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_ended_after_the_grace_and_nobody_waits_for_it_again() {
    let mut metrics = any_metrics();
    metrics.checkpoint();
    metrics.expect_bus_connected().return_const(());
    metrics.expect_stream_opened().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Slow), eq(1), eq(1)).return_const(());
    metrics.expect_stream_closed().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let mut house = House::new(metrics, PlainFrames).await;
    let (stalled, reads) = (FakeOutbox::new(2), FakeOutbox::new(2));
    let _open = [house.open("a", &stalled), house.open("a", &reads)];
    reads.read_every(Duration::from_millis(1));
    for n in 0..100 {
        house.publish(&["a"], &n.to_string());
    }
    tokio::time::sleep(Duration::from_millis(240)).await;
    assert_eq!(stalled.ended(), None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stalled.ended(), Some(EndReason::Slow));
    assert_eq!(reads.read().len(), 100);
    let last = reads.state.lock().read.last().expect("read").1;
    assert!(last < GRACE + Duration::from_millis(200), "the last event came after {last:?}");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_stalled_clients_does_not_hold_up_the_others() {
    let mut house = House::new(any_metrics(), PlainFrames).await;
    let reads = FakeOutbox::new(256);
    let mut open = vec![house.open("reads", &reads)];
    reads.read_every(Duration::from_millis(1));
    let mut crowd = Vec::new();
    // Over ten seconds two hundred arrive, each filling its queue at once with a burst of its own.
    for n in 0..200_u32 {
        let stalled = FakeOutbox::new(1);
        open.push(house.open(&format!("stalled {n}"), &stalled));
        crowd.push(stalled);
        for _ in 0..2 {
            house.publish(&[&format!("stalled {n}")], "x");
        }
        house.publish(&["reads"], &(PausedClock.now() - reads.state.lock().began).as_millis().to_string());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(crowd.iter().all(|stalled| stalled.ended() == Some(EndReason::Slow)));
    let mut delays: Vec<_> = reads
        .state
        .lock()
        .read
        .iter()
        .map(|(published, arrived)| {
            arrived.saturating_sub(Duration::from_millis(published.parse().expect("a number")))
        })
        .collect();
    delays.sort();
    assert_eq!(delays.len(), 200);
    assert!(delays[197] < Duration::from_secs(1), "p99 {:?}, all: {delays:?}", delays[197]);
}

#[tokio::test(start_paused = true)]
async fn the_status_follows_the_bus() {
    let mut metrics = MockMetrics::new();
    metrics.expect_bus_connected().once().with(eq(true)).return_const(());
    metrics.expect_bus_connected().once().with(eq(false)).return_const(());
    let house = House::before_the_bus(POLICY, metrics, PlainFrames);
    assert_eq!(house.status.check(), Err(NotReady::Starting));
    house.say(SourceEvent::Subscribed);
    settle().await;
    assert_eq!(house.status.check(), Ok(()));
    house.say(SourceEvent::Behind { messages: 20_000 });
    settle().await;
    assert_eq!(house.status.check(), Err(NotReady::Behind { messages: 20_000 }));
    house.say(SourceEvent::Interrupted { reason: "gone".into() });
    settle().await;
    assert_eq!(house.status.check(), Err(NotReady::Interrupted { reason: "gone".into() }));
    house.close().await;
}
