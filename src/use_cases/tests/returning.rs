//! What a client gets that comes back with an id.

use super::*;

#[tokio::test(start_paused = true)]
async fn client_gets_what_it_missed_and_then_what_is_new() {
    let mut service = Service::start(POLICY).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    service.publish(&["b"], "of b");
    settle().await;
    let mut client = service.ask(after("a", id(1))).expect("a place");
    // It is told where it stands, for the last event was not its own.
    assert_eq!(client.read(), ["2", "3", "at 1-4"]);
    service.publish(&["a"], "5");
    settle().await;
    assert_eq!(client.read(), ["5"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_gets_what_is_new_while_it_replays() {
    let mut service = Service::start(POLICY).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], &large(content));
    }
    service.publish(&["b"], "of b");
    settle().await;
    let mut client = service.ask(after("a", id(0))).expect("a place");
    assert_eq!(client.read_turn(), ["1"]);
    service.publish(&["a"], "5");
    settle().await;
    assert_eq!(client.read(), ["2", "3", "5"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_gets_what_is_new_without_an_id() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    settle().await;
    for nothing in [request("a"), after("a", "")] {
        let mut client = service.ask(nothing).expect("a place");
        service.publish(&["a"], "2");
        settle().await;
        assert_eq!(client.read(), ["2"]);
    }
    service.stop().await;
}

/// The opening tells the id with which to come back, so that a client that gets nothing else still has one.
#[tokio::test(start_paused = true)]
async fn client_is_told_first_where_it_stands() {
    let frames = fakes::PlainFrames { tell_opening: true };
    let mut service = Service::start_with(POLICY, any_metrics(), frames).await;
    service.publish(&["a"], "1");
    service.publish(&["b"], "of b");
    settle().await;
    let check = |request: StreamRequest, expected: &[&str]| {
        let mut client = service.ask(request).expect("a place");
        assert_eq!(client.read(), expected);
    };
    check(request("a"), &["at 1-2"]);
    check(after("a", id(1)), &["at 1-2"]);
    check(after("a", id(0)), &["at 1-0", "1", "at 1-2"]);
    // No id comes before the gap has been told.
    check(after("a", "no id"), &["Unknown after no id, at 1-2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_is_told_of_what_is_no_longer_known() {
    let log = LogLimits { max_age: Duration::from_mins(1), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
        settle().await;
        tokio::time::sleep(s(if content == "3" { 0 } else { 40 })).await;
    }
    let check = |last: &str, expected: &[&str]| {
        let mut client = service.ask(after("a", last)).expect("never refused");
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
async fn client_is_told_of_what_was_too_much_to_hold() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    for content in 0..30 {
        service.publish(&["a"], &content.to_string());
    }
    settle().await;
    let mut client = service.ask(after("a", id(1))).expect("a place");
    let texts = client.read();
    assert!(texts[0].starts_with("Limit after 1-1, at "), "{texts:?}");
    assert_eq!(texts.last().expect("an event"), "29");
    service.stop().await;
}

/// The events of one user never take so much that all others miss theirs.
#[tokio::test(start_paused = true)]
async fn client_misses_nothing_because_of_another_user() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    service.publish(&["a"], "1");
    for _ in 0..1000 {
        service.publish(&["busy"], "x");
    }
    settle().await;
    let mut client = service.ask(after("a", id(0))).expect("a place");
    assert_eq!(client.read(), ["1", "at 1-1001"]);
    service.stop().await;
}

/// However short the time is for which events are held, a client that has missed nothing is told of no gap.
#[tokio::test(start_paused = true)]
async fn client_that_has_missed_nothing_is_told_of_no_gap() {
    let log = LogLimits { max_bytes: 10_000, ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    service.publish(&["quiet"], "1");
    for n in 0..600 {
        service.publish(&["busy", &n.to_string()[..1]], "x");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(service.held()[0] > 1, "bytes are the limit");
    let mut client = service.ask(after("quiet", id(1))).expect("a place");
    assert_eq!(client.read(), NOTHING);
    service.stop().await;
}

/// Another instance has been quicker: the client knows an event that is still to come here.
#[tokio::test(start_paused = true)]
async fn client_may_know_an_event_that_is_still_to_come() {
    let mut service = Service::start(POLICY).await;
    service.publish(&["a"], "1");
    settle().await;
    let [mut reads, mut unread] = [(); 2].map(|()| service.ask(after("a", id(3))).expect("a place"));
    assert_eq!(reads.read(), NOTHING);
    for content in ["2", "3", "4"] {
        service.publish(&["a"], content);
    }
    settle().await;
    assert_eq!(reads.read(), ["at 1-3", "4"]);
    assert_eq!(unread.read(), ["4"]);
    service.stop().await;
}

/// This instance knows that it is behind: what the client has had comes, however long that takes.
#[tokio::test(start_paused = true)]
async fn client_may_know_an_event_that_an_instance_that_is_behind_has_not_read() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    service.receive(SourceEvent::Lagging { messages: 20_000 });
    settle().await;
    let mut client = service.ask(after("a", id(2))).expect("a place");
    let mut read = Vec::new();
    for content in ["1", "2", "3"] {
        tokio::time::sleep(s(10)).await;
        service.publish(&["a"], content);
        settle().await;
        read.append(&mut client.read());
    }
    assert_eq!(read, ["at 1-2", "3"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_may_name_an_event_that_never_comes() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    service.publish(&["a"], "1");
    settle().await;
    let mut client = service.ask(after("a", id(1_000_000))).expect("a place");
    service.publish(&["a"], "2");
    // While NATS is away nobody can know.
    service.receive(SourceEvent::Interrupted { reason: "away".into() });
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(client.read(), NOTHING);
    service.receive(SourceEvent::Subscribed);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let texts = client.read();
    // No id comes before the gap has been told.
    assert_eq!(texts, [&gap(GapReason::Unknown, "1-1000000", id(1)), "2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_has_a_new_id_before_its_old_one_is_forgotten() {
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
    let told = texts.last().and_then(|last| last.strip_prefix("at ")).expect("an id");
    drop(quiet);
    for _ in 0..200 {
        service.publish(&["busy"], "x");
        tokio::time::sleep(s(1)).await;
    }
    service.publish(&["quiet"], "at last");
    settle().await;
    let mut client = service.ask(after("quiet", told)).expect("a place");
    assert_eq!(client.read(), ["at last"], "no gap, although nothing of all that is held");
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn client_gets_a_whole_log_however_slowly_it_reads() {
    let mut service = Service::start(POLICY).await;
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for content in &expected {
        service.publish(&["slow"], &large(content));
    }
    service.publish(&["live"], "before");
    tokio::time::sleep(s(1)).await;
    let slow = service.ask(after("slow", id(0))).expect("a place").read_every(s(1));
    let live = service.open("live").keep_reading();
    for _ in 0..10 {
        service.publish(&["live"], "now");
        settle().await;
    }
    assert_eq!(live.texts(), ["now"; 10]);
    assert!(live.timed().iter().all(|(_, time)| time.is_zero()), "it waits for nobody");
    tokio::time::sleep(Duration::from_mins(2)).await;
    let texts = slow.texts();
    assert_eq!(texts[..100], expected);
    assert_eq!(texts[100..], ["at 1-101"]);
    service.stop().await;
}
