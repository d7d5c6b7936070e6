//! Delivery of events from NATS to streams.

use ports::outbound::{MessageMetadata, MockTraces, TraceHeaders};

use super::*;

#[tokio::test(start_paused = true)]
async fn reaches_all_streams_of_recipients_only() {
    let mut service = Service::start(POLICY).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    assert_eq!(clients.each_mut().map(Client::read), [NOTHING; 3]);
    service.publish(&["a"], "1");
    service.publish(&["a", "b", "a"], "2");
    service.publish(&["nobody"], "3");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [vec!["1", "2"], vec!["1", "2"], vec!["2"]]);
    // A stream that has taken everything is woken again.
    service.publish(&["b"], "4");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [vec![], vec![], vec!["4"]]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn event_for_everyone_reaches_all_streams() {
    let mut service = Service::start(POLICY).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    assert_eq!(clients.each_mut().map(Client::read), [NOTHING; 3]);
    service.publish(&["everyone"], "1");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["1"]; 3]);
    let mut returning = service.try_open(after("c", id(0))).expect("a stream");
    assert_eq!(returning.read(), ["1"]);
    assert_eq!(service.open("d").read(), NOTHING);
    service.publish(&["everyone"], "2");
    run_until_idle().await;
    let [one, two, three] = clients;
    assert_eq!([one, two, three, returning].map(|mut client| client.read()), [["2"]; 4]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn encodes_event_once_and_only_for_open_streams() {
    let mut frames = MockFrames::new();
    frames.expect_opening().return_const(None);
    frames.expect_event().once().return_const(Frame::from_static(b"x"));
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().once().with(eq(Outcome::NoSubscriber)).return_const(());
    metrics.expect_event_received().once().with(eq(Outcome::Delivered)).return_const(());
    metrics.expect_delivered().once().with(eq(3)).return_const(());
    metrics.expect_delivery_completed().once().return_const(());
    let mut service = Service::start_with(POLICY, metrics, frames).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    service.publish(&["c"], "");
    service.publish(&["a", "b"], "");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["x"]; 3]);
    drop(clients);
    service.stop().await;
}

/// The client takes the burst in several turns, while more events are published.
#[tokio::test(start_paused = true)]
async fn keeps_order_of_long_burst() {
    let mut service = Service::start(POLICY).await;
    let reader = service.open("a").keep_reading();
    let expected: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    for content in &expected {
        service.publish(&["a"], &large(content));
    }
    tokio::time::sleep(s(1)).await;
    assert_eq!(reader.texts(), expected);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn is_split_into_turns_of_64_kib() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    for _ in 0..65 {
        service.publish(&["a"], &"x".repeat(1024));
    }
    run_until_idle().await;
    assert_eq!([(); 2].map(|()| client.read_turn().len()), [64, 1]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn continues_trace_of_publisher() {
    let service = Service::start(POLICY).await;
    let trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut traces = MockTraces::new();
    let headers = TraceHeaders { trace_parent: trace_parent.into(), ..TraceHeaders::default() };
    traces.expect_continue_from().once().withf(move |_, named| *named == headers).return_const(());
    let relay = Relay {
        subscriptions: service.subscriptions.clone(),
        languages: service.languages.clone(),
        metrics: Arc::new(any_metrics()),
        clock: service.clock.clone(),
        status: Arc::clone(&service.status),
        traces: Arc::new(traces),
    };
    relay.handle(SourceEvent::Notification {
        notification: notification(1, &["a"], "t", "1"),
        age: Duration::ZERO,
        metadata: MessageMetadata { trace_parent: trace_parent.into(), ..MessageMetadata::default() },
    });
    assert_eq!(service.held(), [1]);
    service.stop().await;
}
