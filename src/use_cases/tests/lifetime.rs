//! Keepalives, position refreshes and the end of streams.

use super::*;

/// Returns a request with a token that expires at `time`.
fn request_for(name: &str, time: Duration) -> StreamRequest {
    let request = request(name);
    StreamRequest { principal: Principal { expires_at: time, ..request.principal }, ..request }
}

#[tokio::test(start_paused = true)]
async fn silent_stream_gets_keepalives() {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_delivery_completed().return_const(());
    metrics.expect_keepalive_sent().times(9).return_const(());
    let log = LogLimits { max_age: Duration::ZERO, ..POLICY.log };
    let policy = StreamPolicy { keepalive: KeepalivePolicy::every(s(10)), log, ..POLICY };
    let mut service = Service::start_with(policy, metrics, PLAIN_FRAMES).await;
    let silent = [(); 3].map(|()| service.open("silent").keep_reading());
    let busy = service.open("busy").keep_reading();
    let maintenance = tokio::spawn(service.subscriptions.clone().maintain());
    for _ in 0..35 {
        service.publish(&["busy"], "x");
        tokio::time::sleep(s(1)).await;
    }
    maintenance.abort();
    assert!(maintenance.await.expect_err("the task runs until it is aborted").is_cancelled());
    for reader in &silent {
        assert_eq!(reader.texts(), [":"; 3]);
    }
    assert_eq!(busy.texts(), ["x"; 35]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_event_replaces_keepalive() {
    let policy = StreamPolicy { keepalive: KeepalivePolicy::every(s(10)), ..POLICY };
    let mut service = Service::start(policy).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("a");
    service.publish(&["a"], "1");
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(s(11)).await;
    assert_eq!(client.read(), [":"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stream_ends_with_token() {
    let service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let [mut short, mut long] =
        [100, 1000].map(|time| service.try_open(request_for("a", s(time))).expect("a stream"));
    assert_eq!([short.read(), long.read()], [NOTHING; 2]);
    tokio::time::sleep(s(94)).await;
    assert_eq!((short.read(), short.is_finishing()), (vec![], false));
    tokio::time::sleep(s(7)).await;
    assert!(short.is_finishing());
    assert_eq!((short.read(), short.ended()), (vec!["Expired".to_owned()], Some("Expired")));
    assert_eq!((long.read(), long.is_finishing()), (vec![], false));
    service.stop().await;
}

/// The machine may have slept, so that the monotonic clock is behind the wall clock.
#[tokio::test(start_paused = true)]
async fn token_expires_by_wall_clock() {
    let service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.try_open(request_for("a", s(7200))).expect("a stream");
    tokio::time::sleep(s(10)).await;
    assert_eq!(client.read(), NOTHING);
    service.clock.set_forward(s(7200));
    tokio::time::sleep(s(2)).await;
    assert_eq!((client.read(), client.ended()), (vec!["Expired".to_owned()], Some("Expired")));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stream_ends_at_maximum_age() {
    let service = Service::start(StreamPolicy { max_age: Some(s(60)), ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("a");
    tokio::time::sleep(s(62)).await;
    assert_eq!((client.read(), client.ended()), (vec!["MaxAge".to_owned()], Some("MaxAge")));
    service.stop().await;
}

/// A slow client gets all events published before the end and none published later.
#[tokio::test(start_paused = true)]
async fn ended_stream_takes_events_published_before() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    for content in ["1", "2", "3"] {
        service.publish(&["a"], &large(content));
    }
    run_until_idle().await;
    assert_eq!(client.read_turn(), ["1"]);
    service.subscriptions.end_streams_of(&user("a"));
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!(client.read_turn(), ["2"]);
    assert_eq!(client.ended(), None);
    assert_eq!(client.read(), ["3", "Administrator"]);
    assert_eq!(client.ended(), Some("Administrator"));
    drop(client);
    let mut client = service.try_open(after("a", id(3))).expect("a stream");
    assert_eq!(client.read(), ["4"]);
    service.stop().await;
}

/// An id without the gap before it would make the client skip missed events.
#[tokio::test(start_paused = true)]
async fn unstarted_stream_ends_without_id() {
    let mut service = Service::before_nats(POLICY, any_metrics(), fakes::PlainFrames { send_opening: true });
    let requests = [after("a", "no id"), after("a", id(1)), after("a", id(1))];
    let mut clients = requests.map(|request| service.try_open(request).expect("a stream"));
    clients[2].read();
    service.subscriptions.end_streams_of(&user("a"));
    service.receive(SourceEvent::Resync { after: id(3) });
    service.receive(SourceEvent::Subscribed);
    service.sequence = 3;
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["Administrator"]; 3]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn first_end_reason_is_recorded() {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().once().with(eq(EndReason::WriteTimeout), eq(0), eq(0)).return_const(());
    let service = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let mut client = service.open("a");
    client.stream.close(EndReason::WriteTimeout);
    client.stream.close(EndReason::Logout);
    service.subscriptions.end_streams_of(&user("a"));
    drop(client);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn closed_stream_releases_connection() {
    let mut metrics = MockMetrics::new();
    metrics.expect_nats_connected().return_const(());
    metrics.expect_stream_opened().once().with(eq(1), eq(1)).return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Client), eq(0), eq(0)).return_const(());
    let service = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let client = service.open("a");
    let connection = client.connection.clone();
    drop(client);
    assert_eq!(Arc::strong_count(&connection), 1, "nobody else holds the connection");
    assert!(service.subscriptions.streams_of(&user("a")).is_empty());
    service.stop().await;
}

/// Streams that end before they start, and streams that are closed after their end.
#[tokio::test(start_paused = true)]
async fn closed_stream_releases_connection_in_any_state() {
    let service = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    let clients = [(); 2].map(|()| service.open("a"));
    service.subscriptions.end_streams_of(&user("a"));
    let client = service.open("a");
    let connections = clients.each_ref().map(|client| client.connection.clone());
    let connection = client.connection.clone();
    drop((clients, client));
    service.connect_nats().await;
    for connection in connections.iter().chain([&connection]) {
        assert_eq!(Arc::strong_count(connection), 1, "nobody else holds the connection");
    }
    service.stop().await;
}

/// A keepalive that is due at the same moment does not delay the refresh.
#[tokio::test(start_paused = true)]
async fn position_refresh_does_not_depend_on_keepalives() {
    let policy = StreamPolicy { keepalive: KeepalivePolicy::every(s(25)), ..POLICY };
    let mut service = Service::start(policy).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("quiet");
    let mut last = String::new();
    for second in 1..=3600_u32 {
        service.publish(&["busy"], "x");
        tokio::time::sleep(s(1)).await;
        if let Some(position) = client.read().iter().rev().find_map(|text| text.strip_prefix("at ")) {
            last = position.to_owned();
        }
        if second % 300 == 0 {
            let sent: EventId = last.parse().expect("an id");
            assert!(sent.sequence + 150 > service.sequence, "sent {sent} of {}", service.sequence);
        }
    }
    service.stop().await;
}

/// A position refresh does not align the keepalives of silent streams.
#[tokio::test(start_paused = true)]
async fn keepalives_of_streams_are_distributed() {
    let policy = StreamPolicy { keepalive: KeepalivePolicy::every(s(10)), ..POLICY };
    let mut service = Service::start(policy).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let silent = [(); 100].map(|()| service.open("silent").keep_reading());
    service.publish(&["somebody else"], "1");
    tokio::time::sleep(Duration::from_mins(4)).await;
    let mut in_second = [0; 11];
    for reader in &silent {
        let (_, last) = reader.timed().pop().expect("a comment");
        in_second[usize::try_from(240 - last.as_secs()).expect("a few")] += 1;
    }
    assert!(in_second.iter().all(|streams| *streams <= 15), "{in_second:?}");
    service.stop().await;
}
