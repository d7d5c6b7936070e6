//! NATS that is not available yet, is interrupted or has lost events.

use super::*;

#[tokio::test(start_paused = true)]
async fn determines_readiness() {
    let mut metrics = MockMetrics::new();
    metrics.expect_nats_connected().once().with(eq(true)).return_const(());
    metrics.expect_nats_connected().once().with(eq(false)).return_const(());
    metrics.expect_nats_lag().once().with(eq(20_000)).return_const(());
    metrics.expect_nats_lag().once().with(eq(0)).return_const(());
    let service = Service::before_nats(POLICY, metrics, PLAIN_FRAMES);
    assert_eq!(service.status.check(), Err(NotReady::Starting));
    service.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    assert_eq!(service.status.check(), Ok(()));
    service.receive(SourceEvent::Lag { messages: 20_000 });
    run_until_idle().await;
    assert_eq!(service.status.check(), Err(NotReady::Lagging { messages: 20_000 }));
    service.receive(SourceEvent::Lag { messages: 0 });
    run_until_idle().await;
    assert_eq!(service.status.check(), Ok(()));
    service.receive(SourceEvent::Interrupted { reason: "gone".into() });
    run_until_idle().await;
    assert_eq!(service.status.check(), Err(NotReady::Interrupted { reason: "gone".into() }));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn streams_opened_before_nats_miss_nothing() {
    let mut service = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let [mut new, mut returning] =
        [request("a"), after("a", id(1))].map(|request| service.try_open(request).expect("a stream"));
    tokio::time::sleep(s(20)).await;
    service.receive(SourceEvent::Resync { after: id(0) });
    for (content, age) in [("1", 90), ("2", 40), ("3", 10)] {
        service.publish_of(&["a"], "t", content, s(age));
    }
    run_until_idle().await;
    assert_eq!([new.read(), returning.read()], [NOTHING; 2]);
    service.receive(SourceEvent::Subscribed);
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!(new.read(), ["at 1-2", "3", "4"], "the events published since it was opened");
    assert_eq!(returning.read(), ["at 1-1", "2", "3", "4"]);
    service.stop().await;
}

/// The opening has the position if the client has not read anything before.
#[tokio::test(start_paused = true)]
async fn unread_stream_opened_before_nats_gets_position() {
    let mut service = Service::before_nats(POLICY, any_metrics(), fakes::PlainFrames { send_opening: true });
    let mut client = service.open("a");
    tokio::time::sleep(s(20)).await;
    service.receive(SourceEvent::Resync { after: id(0) });
    service.publish(&["b"], "of b");
    service.receive(SourceEvent::Subscribed);
    service.publish(&["a"], "2");
    run_until_idle().await;
    assert_eq!(client.read(), ["at 1-1", "2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_gap_on_open_streams() {
    let mut service = Service::start(POLICY).await;
    let mut clients = ["a", "b", "c"].map(|name| service.open(name));
    let [idle, busy, unread] = &mut clients;
    assert_eq!([idle.read(), busy.read()], [NOTHING; 2]);
    service.publish(&["b"], "1");
    run_until_idle().await;
    assert_eq!(busy.read(), ["1"]);
    // Purged before they were read.
    service.receive(SourceEvent::Resync { after: id(5) });
    service.sequence = 5;
    service.publish(&["a"], "6");
    run_until_idle().await;
    assert_eq!(idle.read(), [&gap(GapReason::Expired, "1-0", id(5)), "6"]);
    assert_eq!(busy.read(), [gap(GapReason::Expired, "1-1", id(5))]);
    // The NATS stream was deleted and recreated.
    let recreated = EventId { incarnation: Incarnation::of(2), sequence: 0 };
    service.receive(SourceEvent::Resync { after: recreated });
    run_until_idle().await;
    assert_eq!(idle.read(), [gap(GapReason::Unknown, "1-6", recreated)]);
    assert_eq!(busy.read(), [gap(GapReason::Unknown, "1-5", recreated)]);
    assert_eq!(unread.read(), [gap(GapReason::Unknown, "1-0", recreated)], "one gap for both losses");
    assert_eq!(clients.each_ref().map(Client::is_finishing), [false; 3]);
    service.stop().await;
}

/// Later events have the sequences of the lost ones.
#[tokio::test(start_paused = true)]
async fn stream_continues_after_lost_tail() {
    let mut service = Service::start(POLICY).await;
    let (mut active, mut unread) = (service.open("a"), service.open("a"));
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    run_until_idle().await;
    assert_eq!(active.read(), ["1", "2", "3"]);
    service.receive(SourceEvent::Resync { after: id(2) });
    run_until_idle().await;
    assert_eq!(active.read(), [gap(GapReason::Expired, "1-3", id(2))]);
    service.sequence = 2;
    service.publish(&["a"], "another 3");
    run_until_idle().await;
    assert_eq!(active.read(), ["another 3"]);
    assert_eq!(unread.read(), [&gap(GapReason::Expired, "1-0", id(2)), "another 3"]);
    service.stop().await;
}

/// The last event to replay is among the lost ones.
#[tokio::test(start_paused = true)]
async fn lost_tail_during_replay_is_gap() {
    let mut service = Service::start(POLICY).await;
    for content in ["1", "2", "3", "4"] {
        service.publish(&["a"], &large(content));
    }
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(client.read_turn(), ["1"]);
    service.receive(SourceEvent::Resync { after: id(2) });
    service.sequence = 2;
    service.publish(&["a"], "another 3");
    run_until_idle().await;
    assert_eq!(client.read(), [&gap(GapReason::Expired, "1-1", id(2)), "another 3"]);
    service.publish(&["a"], "another 4");
    run_until_idle().await;
    assert_eq!(client.read(), ["another 4"]);
    service.stop().await;
}

/// The recent events are already in the log, so that a stream can start without NATS.
#[tokio::test(start_paused = true)]
async fn stream_starts_during_outage() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    service.receive(SourceEvent::Interrupted { reason: "away".into() });
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(client.read(), ["1"]);
    service.receive(SourceEvent::Subscribed);
    service.publish(&["a"], "2");
    run_until_idle().await;
    assert_eq!(client.read(), ["2"]);
    service.stop().await;
}

/// A pending stream waits for an event whose sequence a later event gets.
#[tokio::test(start_paused = true)]
async fn lost_tail_while_stream_is_pending_is_gap() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    for _ in 0..100 {
        service.publish(&["b"], "of b");
    }
    service.receive(SourceEvent::Interrupted { reason: "away".into() });
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(105))).expect("a stream");
    service.receive(SourceEvent::Resync { after: id(80) });
    service.receive(SourceEvent::Subscribed);
    tokio::time::sleep(s(4)).await;
    service.sequence = 80;
    service.publish(&["a"], "another 81");
    run_until_idle().await;
    assert_eq!(client.read(), [gap(GapReason::Unknown, "1-105", id(80)), "another 81".to_owned()]);
    service.stop().await;
}
