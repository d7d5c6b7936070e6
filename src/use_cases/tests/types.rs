//! Streams that ask for some types of events.

use domain::type_filter::TypeFilter;

use super::*;

fn of_types(request: StreamRequest, types: &str) -> StreamRequest {
    StreamRequest { types: Some(TypeFilter::parse(types).expect("a filter")), ..request }
}

/// The text of a frame that only has the id of an event.
fn position(sequence: u64) -> String {
    format!("at {}", id(sequence))
}

#[tokio::test(start_paused = true)]
async fn other_types_are_skipped_live_and_in_replays() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(of_types(request("a"), "share-*")).expect("a stream");
    let mut all = service.open("a");
    for (event_type, content) in [("item-renamed", "1"), ("share-created", "2"), ("item-renamed", "3")] {
        service.publish_of(&["a"], event_type, content, Duration::ZERO);
    }
    run_until_idle().await;
    // The client returns after the skipped event, whose id it gets. Otherwise it would be told of a gap when the event is forgotten.
    assert_eq!(client.read(), ["2".to_owned(), position(3)]);
    assert_eq!(all.read(), ["1", "2", "3"]);
    service.publish_of(&["a"], "share-removed", "4", Duration::ZERO);
    run_until_idle().await;
    assert_eq!(client.read(), ["4"]);
    let mut returning = service.try_open(of_types(after("a", id(0)), "share-*")).expect("a stream");
    assert_eq!(returning.read(), ["2", "4"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn skipped_events_leave_no_silence() {
    for (policy, expected) in [
        (POLICY, position(1)),
        (StreamPolicy { log: LogLimits { max_age: Duration::ZERO, ..POLICY.log }, ..POLICY }, ":".to_owned()),
    ] {
        let mut service = Service::start(policy).await;
        let mut client = service.try_open(of_types(request("a"), "wanted")).expect("a stream");
        service.publish_of(&["a"], "other", "x", Duration::ZERO);
        run_until_idle().await;
        assert_eq!(client.read(), [expected]);
        service.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_skipped_events_do_not_stall_the_stream() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(of_types(request("a"), "wanted")).expect("a stream");
    for _ in 0..3000 {
        service.publish_of(&["a"], "other", "x", Duration::ZERO);
    }
    service.publish_of(&["a"], "wanted", "y", Duration::ZERO);
    run_until_idle().await;
    let turn = client.read_turn();
    assert!(turn.len() == 1 && turn[0].starts_with("at "), "a turn is bounded: {turn:?}");
    assert_eq!(client.read().last().map(String::as_str), Some("y"));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn logout_of_another_type_ends_the_stream() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(of_types(request("a"), "share-*")).expect("a stream");
    service.publish_of(&["a"], "backchannel-logout", "out", Duration::ZERO);
    run_until_idle().await;
    client.read();
    assert_eq!(client.ended(), Some("Logout"));
    service.stop().await;
}
