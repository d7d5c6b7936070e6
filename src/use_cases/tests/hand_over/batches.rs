//! Batches of streams, each of which the successor confirms or not.

use super::*;

#[tokio::test(start_paused = true)]
async fn failed_batch_continues_here() {
    let mut metrics = plain_metrics();
    metrics.expect_delivered().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivery_completed().return_const(());
    let closed = |reason: EndReason| move |closed: &EndReason, _: &usize, _: &usize| *closed == reason;
    metrics.expect_stream_closed().once().withf(closed(EndReason::HandedOver)).return_const(());
    metrics.expect_stream_closed().times(2).withf(closed(EndReason::Client)).return_const(());
    let old = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let mut processes = Processes { old, new: Service::start(POLICY).await };
    let names = ["first", "second", "third"];
    let mut clients = names.map(|name| processes.old.open_named(&large_name(name), request("a")));
    for client in &mut clients {
        client.read();
    }
    let mut hand_over = HandOver::start(&processes.old, usize::MAX);
    let batch = hand_over.batch().await.expect("a batch");
    assert_eq!(batch.names(), ["first"], "a batch has a limited number of bytes");
    let mut first = only(processes.new.adopt(batch.confirm()));
    let batch = hand_over.batch().await.expect("a batch");
    assert_eq!(batch.names(), ["second"]);
    processes.publish(&["a"], "meanwhile").await;
    batch.fail();
    assert!(hand_over.batch().await.is_none(), "the successor gets nothing more");
    assert!(hand_over.result().await.is_err());
    processes.publish(&["a"], "after").await;
    assert_eq!(first.read(), ["meanwhile", "after"]);
    let [mut old_first, mut second, mut third] = clients;
    assert!(old_first.connection.is_released());
    assert_eq!(old_first.read(), NOTHING);
    for client in [&mut second, &mut third] {
        assert!(!client.connection.is_released());
        assert_eq!(client.read(), ["meanwhile", "after"]);
    }
    drop((old_first, second, third));
    processes.stop().await;
}

/// If the answer is not known, for example because this process is stopped meanwhile, the successor may already write.
#[tokio::test(start_paused = true)]
async fn unanswered_batch_is_not_written_here() {
    let mut processes = Processes::start(POLICY).await;
    let mut suspended = processes.old.open_named("suspended", request("a"));
    suspended.read();
    let (hand_over, _batch) = HandOver::of_all(&processes).await;
    let mut opened_later = processes.old.open("a");
    processes.publish(&["a"], "1").await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(opened_later.read(), ["1"]);
    assert_eq!(suspended.read(), NOTHING);
    hand_over.task.abort();
    processes.old.subscriptions.drain(s(1)).await;
    assert_eq!(suspended.read(), NOTHING);
    assert!(opened_later.read()[0].starts_with("Stopping"));
    processes.stop().await;
}

/// A stop of the process drops the hand-over. A batch that was sent gets its answer nevertheless.
#[tokio::test(start_paused = true)]
async fn dropped_hand_over_finishes_its_batch() {
    for is_confirmed in [true, false] {
        let mut processes = Processes::start(POLICY).await;
        let [mut sent, mut waits] =
            ["sent", "waits"].map(|name| processes.old.open_named(&large_name(name), request("a")));
        sent.read();
        waits.read();
        let (hand_over, batch) = HandOver::of_all(&processes).await;
        hand_over.task.abort();
        processes.publish(&["a"], "1").await;
        assert_eq!(waits.read(), ["1"]);
        assert_eq!(sent.read(), NOTHING);
        if is_confirmed {
            let mut continued = only(processes.new.adopt(batch.confirm()));
            assert_eq!(continued.read(), ["1"]);
        } else {
            batch.fail();
        }
        run_until_idle().await;
        assert_eq!(sent.connection.is_released(), is_confirmed);
        let expected: &[&str] = if is_confirmed { &[] } else { &["1"] };
        assert_eq!(sent.read(), expected);
        processes.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ending_and_unstarted_streams_stay() {
    let mut processes = Processes::start(POLICY).await;
    let mut ending = processes.old.open_named("ending", request("a"));
    processes.publish_of(&["a"], "backchannel-logout", "out").await;
    let mut unstarted = processes.old.open_named("unstarted", after("a", id(5)));
    let mut open = processes.old.open_named("open", request("a"));
    open.read();
    let (hand_over, batch) = HandOver::of_all(&processes).await;
    assert_eq!(batch.names(), ["open"]);
    assert!(!unstarted.connection.is_suspended());
    let mut continued = only(processes.new.adopt(batch.confirm()));
    assert_eq!(hand_over.result().await, Ok(1));
    assert_eq!(ending.read(), ["out", "Logout"]);
    // The event that the unstarted stream waits for is unknown after a second.
    tokio::spawn(processes.old.subscriptions.clone().maintain());
    tokio::time::sleep(s(3)).await;
    assert_eq!(unstarted.read(), [gap(GapReason::Unknown, id(5), id(1))]);
    // Now it can be handed over.
    let mut unstarted = only(processes.hand_over().await);
    processes.publish(&["a"], "2").await;
    assert_eq!([continued.read(), unstarted.read()], [["2"]; 2]);
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_streams_than_the_limit_are_handed_over() {
    let mut processes = Processes::start(POLICY).await;
    let mut clients = ["first", "second", "third"].map(|name| processes.old.open_named(name, request("a")));
    for client in &mut clients {
        client.read();
    }
    let mut hand_over = HandOver::start(&processes.old, 2);
    let batch = hand_over.batch().await.expect("a batch");
    assert_eq!(batch.names(), ["first", "second"]);
    let mut continued = processes.new.adopt(batch.confirm());
    assert!(hand_over.batch().await.is_none());
    assert_eq!(hand_over.result().await, Ok(2));
    processes.publish(&["a"], "1").await;
    assert_eq!(clients.map(|mut client| client.read()), [vec![], vec![], vec!["1".to_owned()]]);
    assert!(continued.values_mut().all(|client| client.read() == ["1"]));
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_streams_are_handed_over_in_batches() {
    let processes = Processes::start(POLICY).await;
    let name = |n: usize| format!("user {}", n % 7);
    let clients: Vec<_> =
        (0..600).map(|n| processes.old.open_named(&n.to_string(), request(&name(n)))).collect();
    let mut continued = Clients::new();
    for (limit, expected) in [(400, 400), (usize::MAX, 200)] {
        let mut hand_over = HandOver::start(&processes.old, limit);
        while let Some(batch) = hand_over.batch().await {
            assert!(batch.streams.len() <= 250, "the descriptors of one message");
            continued.extend(processes.new.adopt(batch.confirm()));
        }
        assert_eq!(hand_over.result().await, Ok(expected));
    }
    assert_eq!(continued.len(), 600);
    assert!(clients.iter().all(|client| client.connection.is_released()));
    processes.stop().await;
}
