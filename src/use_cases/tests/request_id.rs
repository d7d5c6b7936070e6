//! Clients that send no last event id but repeat their request id.

use domain::bookmark::{Bookmark, ResumePoint};

use super::*;

#[tokio::test(start_paused = true)]
async fn continues_stream_of_same_user_at_least_once() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "long ago");
    run_until_idle().await;
    assert_eq!(client.read(), ["long ago"]);
    tokio::time::sleep(s(90)).await;
    service.publish(&["a"], "perhaps arrived");
    run_until_idle().await;
    assert_eq!(client.read(), ["perhaps arrived"]);
    tokio::time::sleep(s(10)).await;
    drop(client);
    service.publish(&["a"], "missed");
    run_until_idle().await;
    let read = |request: StreamRequest| service.try_open(request).expect("a stream").read();
    assert_eq!(read(tab("b", "tab")), NOTHING, "a request id of another user means nothing");
    assert_eq!(read(tab("a", "other tab")), NOTHING);
    let named = StreamRequest { last_event_id: Some(id(3).to_string()), ..tab("a", "yet another") };
    assert_eq!(read(named), NOTHING);
    assert_eq!(read(tab("a", "tab")), ["perhaps arrived", "missed"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn continues_stream_that_still_seems_open() {
    let mut service = Service::start(POLICY).await;
    let mut dead = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(dead.read(), ["1"]);
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "2");
    run_until_idle().await;
    assert_eq!(client.read(), ["1", "2"]);
    service.stop().await;
}

/// Several streams with the request id seem open.
#[tokio::test(start_paused = true)]
async fn continues_at_latest_position_of_several_streams() {
    let mut service = Service::start(POLICY).await;
    let mut first = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(first.read(), ["1"]);
    // The client of the second stream does not read, so its position is that of the confirmed events of the first.
    let _second = service.try_open(tab("a", "tab")).expect("a stream");
    tokio::time::sleep(s(90)).await;
    service.publish(&["a"], "2");
    run_until_idle().await;
    assert_eq!(first.read(), ["2"]);
    assert_eq!(service.try_open(tab("a", "tab")).expect("a stream").read(), ["2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn untaken_events_are_sent_again() {
    let mut service = Service::start(POLICY).await;
    let client = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "1");
    run_until_idle().await;
    // Longer than the unacknowledged window.
    tokio::time::sleep(s(200)).await;
    drop(client);
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn untaken_events_of_slow_client_are_sent_again() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    for content in ["1", "2", "3"] {
        service.publish(&["a"], &large(content));
    }
    run_until_idle().await;
    assert_eq!(client.read_turn(), ["1"]);
    tokio::time::sleep(s(200)).await;
    assert_eq!(client.read_turn(), ["2"]);
    drop(client);
    let texts = service.try_open(tab("a", "tab")).expect("a stream").read();
    assert!(texts.ends_with(&["2", "3"].map(String::from)), "{texts:?}");
    service.stop().await;
}

/// The unacknowledged window starts when an event was written, not when it was published.
#[tokio::test(start_paused = true)]
async fn events_written_late_are_sent_again() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "1");
    tokio::time::sleep(s(200)).await;
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(s(10)).await;
    drop(client);
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

/// An event taken within `LATE_AFTER` counts as taken when it was published.
#[tokio::test(start_paused = true)]
async fn events_written_within_a_second_are_sent_again() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "1");
    tokio::time::sleep(LATE_AFTER).await;
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(POLICY.unacknowledged).await;
    drop(client);
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

/// The older events of a client that is always late are confirmed.
#[tokio::test(start_paused = true)]
async fn late_client_gets_only_unacknowledged_events_again() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    for second in (0..240).step_by(10) {
        service.publish(&["a"], &second.to_string());
        tokio::time::sleep(s(3)).await;
        assert_eq!(client.read(), [second.to_string()]);
        tokio::time::sleep(s(7)).await;
    }
    drop(client);
    let read = service.try_open(tab("a", "tab")).expect("a stream").read();
    let first: u64 = read[0].parse().expect("a second");
    // Twice the unacknowledged time at most, and once at least.
    assert!((110..180).contains(&first), "{read:?}");
    assert_eq!(read.last().map(String::as_str), Some("230"));
    service.stop().await;
}

/// A phone may find its network and lose it again at once.
#[tokio::test(start_paused = true)]
async fn unacknowledged_replay_is_sent_again() {
    let mut service = Service::start(POLICY).await;
    drop(service.try_open(tab("a", "tab")).expect("a stream"));
    service.publish(&["a"], "1");
    tokio::time::sleep(s(90)).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(s(1)).await;
    drop(client);
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

/// Nothing was written to the stream, so its last event id is still the position of the client.
#[tokio::test(start_paused = true)]
async fn unstarted_stream_leaves_its_last_event_id() {
    let mut service = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    let named = StreamRequest { last_event_id: Some(id(1).to_string()), ..tab("a", "tab") };
    drop(service.try_open(named).expect("a stream"));
    service.receive(SourceEvent::Resync { after: id(0) });
    service.publish(&["a"], "1");
    service.publish(&["a"], "2");
    service.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), ["2"]);
    service.stop().await;
}

fn bookmark(position: EventId) -> Bookmark {
    let StreamRequest { principal, request, .. } = tab("a", "tab");
    let point = ResumePoint { position, logged_out: None };
    Bookmark { user: principal.user, request: request.expect("chosen"), point }
}

/// Starts one of several instances.
async fn instance(exchange: &Arc<FakeExchange>) -> Service {
    let service = Service::with_exchange(POLICY, any_metrics(), PLAIN_FRAMES, Some(exchange.clone()));
    service.connect_nats().await;
    service
}

#[tokio::test(start_paused = true)]
async fn continues_on_every_instance() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    service.publish(&["a"], "1");
    service.publish(&["a"], "2");
    run_until_idle().await;
    exchange.another().publish(bookmark(id(1)));
    // A stream that ends before it starts leaves the bookmark for the next one.
    drop(service.try_open(tab("a", "tab")).expect("a stream"));
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    run_until_idle().await;
    assert_eq!(client.read(), NOTHING, "the bookmarks of other instances were not read yet");
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange.clone()));
    run_until_idle().await;
    assert_eq!(client.read(), ["at 1-1", "2"]);
    drop(client);
    let published = exchange.published();
    assert_eq!(published[1..], [bookmark(id(1))], "the last event may not have arrived");
    following.abort();
    service.stop().await;
}

/// The bookmark comes from another instance, which has read more events than this one.
#[tokio::test(start_paused = true)]
async fn unstarted_stream_leaves_its_bookmark() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    exchange.another().publish(bookmark(id(2)));
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange));
    run_until_idle().await;
    service.receive(SourceEvent::Interrupted { reason: "away".into() });
    run_until_idle().await;
    drop(service.try_open(tab("a", "tab")).expect("a stream"));
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    service.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    assert_eq!(service.try_open(tab("a", "tab")).expect("a stream").read(), ["3"]);
    following.abort();
    service.stop().await;
}

/// An instance may notice the loss of a connection long after the client has moved to another instance.
#[tokio::test(start_paused = true)]
async fn latest_bookmark_counts_in_any_order() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    let (slow, quick) = (exchange.another(), exchange.another());
    quick.publish(bookmark(id(2)));
    slow.publish(bookmark(id(1)));
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange));
    run_until_idle().await;
    assert_eq!(service.try_open(tab("a", "tab")).expect("a stream").read(), ["3"]);
    following.abort();
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bookmarks_are_republished_after_recreation() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange.clone()));
    exchange.another().publish(bookmark(id(0)));
    service.publish(&["a"], "1");
    run_until_idle().await;
    drop(service.try_open(tab("a", "other tab")).expect("a stream"));
    run_until_idle().await;
    exchange.lose();
    run_until_idle().await;
    let requests = |bookmarks: Vec<Bookmark>| {
        bookmarks.into_iter().map(|bookmark| bookmark.request.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(requests(exchange.published()), ["tab", "other tab"]);
    // Expired bookmarks are not published again.
    tokio::time::sleep(POLICY.resume_window).await;
    exchange.lose();
    run_until_idle().await;
    assert_eq!(exchange.published(), []);
    following.abort();
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn does_not_wait_for_unavailable_exchange() {
    let exchange = Arc::new(FakeExchange::unavailable());
    let mut service = instance(&exchange).await;
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!(client.read(), NOTHING);
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange));
    run_until_idle().await;
    assert_eq!(client.read(), ["at 1-0", "1"]);
    following.abort();
    service.stop().await;
}

/// Unacknowledged events may be older than the log, so that they cannot be sent again.
#[tokio::test(start_paused = true)]
async fn gets_gap_if_log_is_shorter_than_window() {
    let log = LogLimits { max_age: s(30), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut dead = service.try_open(tab("a", "tab")).expect("a stream");
    service.publish(&["a"], "never arrived");
    run_until_idle().await;
    assert_eq!(dead.read(), ["never arrived"]);
    tokio::time::sleep(s(50)).await;
    drop(dead);
    let mut client = service.try_open(tab("a", "tab")).expect("a stream");
    assert_eq!(client.read(), [gap(GapReason::Expired, "1-0", id(1))]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replaces_older_stream() {
    for replace_streams in [true, false] {
        let mut service = Service::start(StreamPolicy { replace_streams, ..POLICY }).await;
        tokio::spawn(service.subscriptions.clone().maintain());
        let open = |name, id| service.try_open(tab(name, id)).expect("a stream");
        let mut older = open("a", "tab");
        let mut others = [open("a", "other tab"), open("b", "tab"), service.open("a")];
        tokio::time::sleep(s(3)).await;
        let mut newer = open("a", "tab");
        tokio::time::sleep(s(1)).await;
        assert_eq!(older.read(), NOTHING, "a new stream replaces older ones only after some seconds");
        tokio::time::sleep(s(3)).await;
        let expected = replace_streams.then_some("Replaced");
        assert_eq!((older.read().last().map(String::as_str), older.ended()), (expected, expected));
        service.publish(&["a"], "1");
        run_until_idle().await;
        assert_eq!((newer.read(), newer.ended()), (vec!["1".to_owned()], None));
        assert!(others.iter_mut().all(|other| {
            other.read();
            other.ended().is_none()
        }));
        service.stop().await;
    }
}
