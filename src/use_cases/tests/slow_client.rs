//! Slow clients, and clients that do not read.

use super::*;

/// Upper bound of the sum of all pauses of the relay in this test. A client that does not read does not lengthen them.
const MAX_PAUSES: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn gets_everything() {
    let mut service = Service::start(POLICY).await;
    let slow = service.open("a").read_every(s(1));
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    for content in &expected {
        service.publish(&["a"], &large(content));
    }
    tokio::time::sleep(s(30)).await;
    assert!((25..=35).contains(&slow.texts().len()), "{:?}", slow.texts());
    tokio::time::sleep(s(30)).await;
    assert_eq!(slow.texts(), expected);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gets_events_published_during_its_pause() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    assert_eq!(client.read(), NOTHING);
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
        service.publish(&["b"], "of b");
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(client.read(), ["1", "2", "3"]);
    assert!(!client.is_finishing());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn does_not_delay_others() {
    let mut service = Service::start(POLICY).await;
    let mut paused = service.open("a");
    paused.read();
    let _never_read = service.open("a");
    let [active, other] = ["a", "b"].map(|name| service.open(name).keep_reading());
    let expected: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    for content in &expected {
        service.publish(&["a", "b"], &large(content));
    }
    tokio::time::sleep(s(1)).await;
    for reader in [&active, &other] {
        assert_eq!(reader.texts(), expected);
        let last = reader.timed().last().expect("read").1;
        assert!(last < MAX_PAUSES, "the last event came after {last:?}");
    }
    assert_eq!(service.held().len(), 200);
    assert_eq!(paused.read(), expected);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_do_not_delay_others() {
    let mut service = Service::start(POLICY).await;
    let reader = service.open("active").keep_reading();
    let mut crowd = Vec::new();
    // Two hundred clients connect within ten seconds, each with a burst of events.
    for n in 0..200_u32 {
        let name = format!("paused {n}");
        let mut paused = service.open(&name);
        // Half of them have never taken anything.
        if n % 2 == 0 {
            paused.read();
        }
        crowd.push(paused);
        service.publish(&[&name], &large("x"));
        service.publish(&[&name, "paused 0"], "y");
        service.publish(&["active"], &(50 * n).to_string());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let delays = reader.timed().into_iter().map(|(published, arrived)| {
        arrived.saturating_sub(Duration::from_millis(published.parse().expect("a number")))
    });
    let delays: Vec<_> = delays.collect();
    assert_eq!(delays.len(), 200);
    assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(5)), "{delays:?}");
    assert_eq!(service.held().len(), 600, "the relay waits for none of them");
    assert_eq!(crowd[7].read(), ["x", "y"]);
    assert_eq!(crowd[0].read().len(), 201);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gets_one_gap_at_byte_limit() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut metrics = plain_metrics();
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_delivery_completed().return_const(());
    metrics.expect_stream_closed().return_const(());
    metrics.expect_gap_reported().once().with(eq(GapReason::Limit)).return_const(());
    let mut service = Service::start_with(StreamPolicy { log, ..POLICY }, metrics, PLAIN_FRAMES).await;
    let mut client = service.open("a");
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(client.read(), ["1"]);
    for n in 2..=100 {
        service.publish(&["a"], &n.to_string());
        service.publish(&["b"], "of b");
        run_until_idle().await;
    }
    let held = service.subscriptions.recent_events(None, usize::MAX).into_iter().map(|event| event.id);
    let held: Vec<_> = held.collect();
    let texts = client.read();
    let (gap, events) = texts.split_first().expect("a gap");
    let position = gap.strip_prefix("Limit after 1-1, at ").expect("the gap comes first");
    let position: EventId = position.parse().expect("an id");
    assert!(held.contains(&position) || held[0].follows(position), "{position} of {held:?}");
    // All events of the user in the log follow the gap.
    let first = 100 - events.len() + 1;
    assert_eq!(events, (first..=100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!((5..20).contains(&events.len()), "{events:?}");
    service.publish(&["a"], "101");
    run_until_idle().await;
    assert_eq!(client.read(), ["101"]);
    drop(client);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gets_one_gap_for_expired_events() {
    let log = LogLimits { max_age: Duration::from_mins(1), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    let mut client = service.open("a");
    for content in ["1", "2", "3", "4"] {
        service.publish(&["a"], content);
        tokio::time::sleep(s(25)).await;
    }
    tokio::spawn(service.subscriptions.clone().maintain());
    run_until_idle().await;
    assert_eq!(client.read(), [&gap(GapReason::Expired, "1-0", id(2)), "3", "4"]);
    service.publish(&["a"], "5");
    run_until_idle().await;
    assert_eq!(client.read(), ["5"]);
    service.stop().await;
}

/// The events expire while the client is reading.
#[tokio::test(start_paused = true)]
async fn gets_gap_between_turns() {
    let log = LogLimits { max_age: Duration::from_mins(1), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    let mut client = service.open("a");
    for content in ["1", "2", "3", "4"] {
        service.publish(&["a"], &large(content));
        tokio::time::sleep(s(25)).await;
        if content == "2" {
            assert_eq!(client.read_turn(), ["1"]);
        }
    }
    tokio::spawn(service.subscriptions.clone().maintain());
    tokio::time::sleep(s(20)).await;
    assert_eq!(client.read(), [&gap(GapReason::Expired, "1-1", id(3)), "4"]);
    service.stop().await;
}

/// The client may have got the same id before.
#[tokio::test(start_paused = true)]
async fn gets_no_gap_for_events_of_others() {
    let log = LogLimits { max_age: Duration::from_mins(1), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("a");
    client.read();
    for _ in 0..300 {
        service.publish(&["b"], "of b");
        tokio::time::sleep(s(1)).await;
    }
    service.publish(&["a"], "301");
    run_until_idle().await;
    let texts = client.read();
    assert!(texts[0].starts_with("at ") && texts.len() == 2, "{texts:?}");
    assert_eq!(texts[1], "301");
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn is_counted_as_lagging() {
    let mut metrics = plain_metrics();
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_stream_closed().return_const(());
    // An event of 1 byte, of a type of 1 byte.
    let lag = domain::log::Lag { events: 2, bytes: 2 * (300 + 48 + 4) };
    metrics.expect_lagging().times(3).with(eq(lag)).return_const(());
    metrics.expect_delivery_completed().return_const(());
    let mut service = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let mut clients = ["a", "a"].map(|name| service.open(name));
    for content in ["1", "2"] {
        service.publish(&["a"], content);
    }
    run_until_idle().await;
    clients[0].read();
    let maintenance = tokio::spawn(service.subscriptions.clone().maintain());
    tokio::time::sleep(Duration::from_millis(2500)).await;
    clients[1].read();
    tokio::time::sleep(s(5)).await;
    maintenance.abort();
    drop(clients);
    service.stop().await;
}
