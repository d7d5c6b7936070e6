//! Clients that return with a last event id.

use super::*;

#[tokio::test(start_paused = true)]
async fn gets_missed_events_then_new_ones() {
    let mut service = Service::start(POLICY).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    service.publish(&["b"], "of b");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(1))).expect("a stream");
    // The position follows, because the last event was for another user.
    assert_eq!(client.read(), ["2", "3", "at 1-4"]);
    service.publish(&["a"], "5");
    run_until_idle().await;
    assert_eq!(client.read(), ["5"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gets_new_events_during_replay() {
    let mut service = Service::start(POLICY).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], &large(content));
    }
    service.publish(&["b"], "of b");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(client.read_turn(), ["1"]);
    service.publish(&["a"], "5");
    run_until_idle().await;
    assert_eq!(client.read(), ["2", "3", "5"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_id_gets_new_events() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    run_until_idle().await;
    for request in [request("a"), after("a", "")] {
        let mut client = service.try_open(request).expect("a stream");
        service.publish(&["a"], "2");
        run_until_idle().await;
        assert_eq!(client.read(), ["2"]);
    }
    service.stop().await;
}

/// The opening has an id, so that a client without any event can still resume.
#[tokio::test(start_paused = true)]
async fn position_is_sent_first() {
    let frames = fakes::PlainFrames { send_opening: true };
    let mut service = Service::start_with(POLICY, any_metrics(), frames).await;
    service.publish(&["a"], "1");
    service.publish(&["b"], "of b");
    run_until_idle().await;
    let check = |request: StreamRequest, expected: &[&str]| {
        let mut client = service.try_open(request).expect("a stream");
        assert_eq!(client.read(), expected);
    };
    check(request("a"), &["at 1-2"]);
    check(after("a", id(1)), &["at 1-2"]);
    check(after("a", id(0)), &["at 1-0", "1", "at 1-2"]);
    // No id is sent before the gap.
    check(after("a", "no id"), &["Unknown after no id, at 1-2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn expired_or_unknown_id_gets_gap() {
    let log = LogLimits { max_age: Duration::from_mins(1), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
        run_until_idle().await;
        tokio::time::sleep(s(if content == "3" { 0 } else { 40 })).await;
    }
    let check = |last: &str, expected: &[&str]| {
        let mut client = service.try_open(after("a", last)).expect("a stream");
        assert_eq!(client.read(), expected, "{last:?}");
    };
    check("1-0", &[&gap(GapReason::Expired, "1-0", id(1)), "2", "3"]);
    check("1-1", &["2", "3"]);
    check("2-1", &[&gap(GapReason::Unknown, "2-1", id(3))]);
    check("no id", &[&gap(GapReason::Unknown, "no id", id(3))]);
    let overlong = "ä".repeat(1000);
    check(&overlong, &[&gap(GapReason::Unknown, "ä".repeat(100), id(3))]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_beyond_byte_limit_are_gap() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    for content in 0..30 {
        service.publish(&["a"], &content.to_string());
    }
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(1))).expect("a stream");
    let texts = client.read();
    assert!(texts[0].starts_with("Limit after 1-1, at "), "{texts:?}");
    assert_eq!(texts.last().expect("an event"), "29");
    service.stop().await;
}

/// One user's events take up to half of the log.
#[tokio::test(start_paused = true)]
async fn busy_user_does_not_evict_events_of_others() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    service.publish(&["a"], "1");
    for _ in 0..1000 {
        service.publish(&["busy"], "x");
    }
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(client.read(), ["1", "at 1-1001"]);
    service.stop().await;
}

/// The limit of bytes evicts events early, but none of this user's.
#[tokio::test(start_paused = true)]
async fn no_gap_without_missed_events() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    service.publish(&["quiet"], "1");
    for n in 0..600 {
        service.publish(&["busy", &n.to_string()[..1]], "x");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(service.held()[0] > 1, "bytes are the limit");
    let mut client = service.try_open(after("quiet", id(1))).expect("a stream");
    assert_eq!(client.read(), NOTHING);
    service.stop().await;
}

/// Another instance has delivered the event earlier than this instance reads it.
#[tokio::test(start_paused = true)]
async fn waits_for_event_of_faster_instance() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    run_until_idle().await;
    let [mut active, mut unread] = [(); 2].map(|()| service.try_open(after("a", id(3))).expect("a stream"));
    assert_eq!(active.read(), NOTHING);
    for content in ["2", "3", "4"] {
        service.publish(&["a"], content);
    }
    run_until_idle().await;
    assert_eq!(active.read(), ["at 1-3", "4"]);
    assert_eq!(unread.read(), ["4"]);
    service.stop().await;
}

/// A lagging instance waits without a timeout for the event that the client has.
#[tokio::test(start_paused = true)]
async fn lagging_instance_waits_for_known_event() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    service.receive(SourceEvent::Lag { messages: 20_000 });
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(2))).expect("a stream");
    let mut read = Vec::new();
    for content in ["1", "2", "3"] {
        tokio::time::sleep(s(10)).await;
        service.publish(&["a"], content);
        run_until_idle().await;
        read.append(&mut client.read());
    }
    assert_eq!(read, ["at 1-2", "3"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn id_that_never_arrives_gets_gap() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    service.publish(&["a"], "1");
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(1_000_000))).expect("a stream");
    service.publish(&["a"], "2");
    // During an outage of NATS the instance cannot know whether the event exists.
    service.receive(SourceEvent::Interrupted { reason: "away".into() });
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(client.read(), NOTHING);
    service.receive(SourceEvent::Subscribed);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let texts = client.read();
    // No id is sent before the gap.
    assert_eq!(texts, [&gap(GapReason::Unknown, "1-1000000", id(1)), "2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn position_is_refreshed_before_it_expires() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let quiet = service.open("quiet").keep_reading();
    // For an hour others are busy.
    for _ in 0..3600 {
        service.publish(&["busy"], "x");
        tokio::time::sleep(s(1)).await;
    }
    let texts = quiet.texts();
    assert!((40..60).contains(&texts.len()), "{texts:?}");
    let last_id = texts.last().and_then(|last| last.strip_prefix("at ")).expect("an id");
    drop(quiet);
    for _ in 0..200 {
        service.publish(&["busy"], "x");
        tokio::time::sleep(s(1)).await;
    }
    service.publish(&["quiet"], "at last");
    run_until_idle().await;
    let mut client = service.try_open(after("quiet", last_id)).expect("a stream");
    assert_eq!(client.read(), ["at last"], "the position was refreshed, so nothing is missing");
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn slow_replay_delays_no_one() {
    let mut service = Service::start(POLICY).await;
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for content in &expected {
        service.publish(&["slow"], &large(content));
    }
    service.publish(&["live"], "before");
    tokio::time::sleep(s(1)).await;
    let slow = service.try_open(after("slow", id(0))).expect("a stream").read_every(s(1));
    let live = service.open("live").keep_reading();
    for _ in 0..10 {
        service.publish(&["live"], "now");
        run_until_idle().await;
    }
    assert_eq!(live.texts(), ["now"; 10]);
    assert!(live.timed().iter().all(|(_, time)| time.is_zero()), "no event is delayed");
    tokio::time::sleep(Duration::from_mins(2)).await;
    let texts = slow.texts();
    assert_eq!(texts[..100], expected);
    assert_eq!(texts[100..], ["at 1-101"]);
    service.stop().await;
}
