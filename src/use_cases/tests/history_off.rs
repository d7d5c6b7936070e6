//! A service without a history, which keeps no events for returning clients.

use super::*;

const HISTORY_OFF: StreamPolicy =
    StreamPolicy { log: LogLimits { max_age: Duration::ZERO, ..POLICY.log }, ..POLICY };

#[tokio::test(start_paused = true)]
async fn keeps_only_events_that_open_streams_need() {
    let mut service = Service::start(HISTORY_OFF).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let (mut paused, mut active) = (service.open("a"), service.open("a"));
    paused.read();
    for content in ["1", "2", "3"] {
        service.publish(&["a"], &large(content));
        service.publish(&["nobody"], "x");
    }
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(active.read(), ["1", "2", "3"]);
    tokio::time::sleep(s(2)).await;
    assert_eq!(service.held(), [1, 3, 5], "one stream has still to take them");
    assert_eq!(paused.read_turn(), ["1"]);
    tokio::time::sleep(s(2)).await;
    assert_eq!(service.held(), [3, 5]);
    assert_eq!(paused.read(), ["2", "3"]);
    tokio::time::sleep(s(2)).await;
    assert!(service.held().is_empty());
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!([active.read(), paused.read()], [["4"]; 2]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn keeps_nothing_for_ended_stream() {
    let mut service = Service::start(HISTORY_OFF).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let client = service.open("a");
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(service.held(), [1]);
    drop(client);
    tokio::time::sleep(s(2)).await;
    assert!(service.held().is_empty());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn is_limited_by_bytes() {
    let log = LogLimits { max_bytes: 10_000, ..HISTORY_OFF.log };
    let mut service = Service::start(StreamPolicy { log, ..HISTORY_OFF }).await;
    let mut paused = service.open("a");
    for n in 1..=100 {
        service.publish(&["a"], &n.to_string());
    }
    run_until_idle().await;
    assert!(service.held().len() < 20);
    let texts = paused.read();
    assert!(texts[0].starts_with("Limit after 1-0, at "), "{texts:?}");
    assert_eq!(texts.last().expect("an event"), "100");
    service.stop().await;
}

/// Without a history the service does not know whether a returning client has missed events.
#[tokio::test(start_paused = true)]
async fn returning_client_gets_gap() {
    let mut service = Service::start(HISTORY_OFF).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("a");
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(client.read(), ["1"]);
    drop(client);
    tokio::time::sleep(s(2)).await;
    service.publish(&["a"], "missed");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(1))).expect("a stream");
    assert_eq!(client.read(), [gap(GapReason::Expired, "1-1", id(2))]);
    service.publish(&["a"], "3");
    run_until_idle().await;
    assert_eq!(client.read(), ["3"]);
    service.stop().await;
}

/// The events of a slow client are removed after those of others that were published later.
#[tokio::test(start_paused = true)]
async fn gap_does_not_depend_on_order_of_removal() {
    let mut service = Service::start(HISTORY_OFF).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let (mut slow, mut quick) = (service.open("slow"), service.open("quick"));
    service.publish(&["slow"], "1");
    service.publish(&["quick"], "2");
    service.publish(&["quick"], "3");
    run_until_idle().await;
    assert_eq!(quick.read(), ["2", "3"]);
    drop(quick);
    tokio::time::sleep(s(2)).await;
    assert_eq!(slow.read(), ["1"]);
    tokio::time::sleep(s(2)).await;
    let mut quick = service.try_open(after("quick", id(2))).expect("a stream");
    assert_eq!(quick.read(), [gap(GapReason::Expired, "1-2", id(3))]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sends_only_ids_of_events() {
    let frames = fakes::PlainFrames { send_opening: true };
    let mut service = Service::start_with(HISTORY_OFF, any_metrics(), frames).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("a");
    service.publish(&["b"], "of b");
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(client.read(), NOTHING);
    service.stop().await;
}

/// Events of other users that were published before the stream started are no gap.
#[tokio::test(start_paused = true)]
async fn events_of_other_users_cause_no_gap() {
    let mut service = Service::before_nats(HISTORY_OFF, any_metrics(), PLAIN_FRAMES);
    service.receive(SourceEvent::Resync { after: id(0) });
    let mut client = service.open("a");
    service.publish(&["somebody else"], "1");
    service.publish(&["a"], "2");
    service.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    assert_eq!(client.read(), ["2"]);
    service.stop().await;
}
