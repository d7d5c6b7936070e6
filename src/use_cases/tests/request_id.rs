//! A client that cannot say what it has had, but repeats the id of its request.

use domain::bookmark::{Bookmark, ResumePoint};

use super::*;

#[tokio::test(start_paused = true)]
async fn continues_the_stream_of_the_same_user_at_least_once() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "long ago");
    settle().await;
    assert_eq!(client.read(), ["long ago"]);
    tokio::time::sleep(s(90)).await;
    service.publish(&["a"], "perhaps arrived");
    settle().await;
    assert_eq!(client.read(), ["perhaps arrived"]);
    tokio::time::sleep(s(10)).await;
    drop(client);
    service.publish(&["a"], "missed");
    settle().await;
    let read = |request: StreamRequest| service.ask(request).expect("a place").read();
    assert_eq!(read(tab("b", "tab")), NOTHING, "a request id of another user means nothing");
    assert_eq!(read(tab("a", "other tab")), NOTHING);
    let named = StreamRequest { last_event_id: Some(id(3).to_string()), ..tab("a", "yet another") };
    assert_eq!(read(named), NOTHING);
    assert_eq!(read(tab("a", "tab")), ["perhaps arrived", "missed"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn is_known_while_the_old_connection_seems_alive() {
    let mut service = Service::start(POLICY).await;
    let mut dead = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "1");
    settle().await;
    assert_eq!(dead.read(), ["1"]);
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "2");
    settle().await;
    assert_eq!(client.read(), ["1", "2"]);
    service.stop().await;
}

/// Of several streams that seem open the one counts that has come furthest.
#[tokio::test(start_paused = true)]
async fn continues_after_the_latest_position_of_several_streams() {
    let mut service = Service::start(POLICY).await;
    let mut first = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "1");
    settle().await;
    assert_eq!(first.read(), ["1"]);
    // Its client does not read: it has nothing but what the first has had for certain.
    let _second = service.ask(tab("a", "tab")).expect("a place");
    tokio::time::sleep(s(90)).await;
    service.publish(&["a"], "2");
    settle().await;
    assert_eq!(first.read(), ["2"]);
    assert_eq!(service.ask(tab("a", "tab")).expect("a place").read(), ["2"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gets_again_what_was_never_taken() {
    let mut service = Service::start(POLICY).await;
    let client = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "1");
    settle().await;
    // Far longer than what was written may take to arrive.
    tokio::time::sleep(s(200)).await;
    drop(client);
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gets_again_what_a_slow_client_has_not_come_to() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    for content in ["1", "2", "3"] {
        service.publish(&["a"], &large(content));
    }
    settle().await;
    assert_eq!(client.read_turn(), ["1"]);
    tokio::time::sleep(s(200)).await;
    assert_eq!(client.read_turn(), ["2"]);
    drop(client);
    let texts = service.ask(tab("a", "tab")).expect("a place").read();
    assert!(texts.ends_with(&["2", "3"].map(String::from)), "{texts:?}");
    service.stop().await;
}

/// When an event was written counts, not when it was published.
#[tokio::test(start_paused = true)]
async fn gets_again_what_was_written_late() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "1");
    tokio::time::sleep(s(200)).await;
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(s(10)).await;
    drop(client);
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

/// An event that is taken within a moment counts as taken when it was published.
#[tokio::test(start_paused = true)]
async fn gets_again_what_was_written_a_moment_after_it_was_published() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "1");
    tokio::time::sleep(LATE_AFTER).await;
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(POLICY.unacknowledged).await;
    drop(client);
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

/// A client that is always late has what it has confirmed long ago.
#[tokio::test(start_paused = true)]
async fn gets_again_only_what_an_always_late_client_took_lately() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    for second in (0..240).step_by(10) {
        service.publish(&["a"], &second.to_string());
        tokio::time::sleep(s(3)).await;
        assert_eq!(client.read(), [second.to_string()]);
        tokio::time::sleep(s(7)).await;
    }
    drop(client);
    let read = service.ask(tab("a", "tab")).expect("a place").read();
    let first: u64 = read[0].parse().expect("a second");
    // Twice the unacknowledged time at most, and once at least.
    assert!((110..180).contains(&first), "{read:?}");
    assert_eq!(read.last().map(String::as_str), Some("230"));
    service.stop().await;
}

/// As when a phone finds its network and loses it again at once.
#[tokio::test(start_paused = true)]
async fn gets_again_what_was_replayed_just_before() {
    let mut service = Service::start(POLICY).await;
    drop(service.ask(tab("a", "tab")).expect("a place"));
    service.publish(&["a"], "1");
    tokio::time::sleep(s(90)).await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), ["1"]);
    tokio::time::sleep(s(1)).await;
    drop(client);
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), ["1"]);
    service.stop().await;
}

/// It said then where it stands, and nothing was written to it since.
#[tokio::test(start_paused = true)]
async fn continues_where_it_said_when_its_stream_did_not_start() {
    let mut service = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    let named = StreamRequest { last_event_id: Some(id(1).to_string()), ..tab("a", "tab") };
    drop(service.ask(named).expect("a place"));
    service.receive(SourceEvent::Resync { after: id(0) });
    service.publish(&["a"], "1");
    service.publish(&["a"], "2");
    service.receive(SourceEvent::Subscribed);
    settle().await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), ["2"]);
    service.stop().await;
}

fn bookmark(position: EventId) -> Bookmark {
    let StreamRequest { principal, request, .. } = tab("a", "tab");
    let point = ResumePoint { position, logged_out: None };
    Bookmark { user: principal.user, request: request.expect("chosen"), point }
}

/// One of several instances, whose exchange is `exchange`.
async fn instance(exchange: &Arc<FakeExchange>) -> Service {
    let service = Service::with_exchange(POLICY, any_metrics(), PLAIN_FRAMES, Some(exchange.clone()));
    service.connect_nats().await;
    service
}

#[tokio::test(start_paused = true)]
async fn is_known_on_every_instance() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    service.publish(&["a"], "1");
    service.publish(&["a"], "2");
    settle().await;
    exchange.another().publish(bookmark(id(1)));
    // A stream that ends before it starts takes nothing from the one that follows it.
    drop(service.ask(tab("a", "tab")).expect("a place"));
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    settle().await;
    assert_eq!(client.read(), NOTHING, "it is not known yet what others remember");
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange.clone()));
    settle().await;
    assert_eq!(client.read(), ["at 1-1", "2"]);
    drop(client);
    let told = exchange.told();
    assert_eq!(told[1..], [bookmark(id(1))], "what was written just now may not have arrived");
    following.abort();
    service.stop().await;
}

/// Another instance has left the bookmark, and has come further than this one.
#[tokio::test(start_paused = true)]
async fn is_remembered_when_the_stream_ends_before_it_starts() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    exchange.another().publish(bookmark(id(2)));
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange));
    settle().await;
    service.receive(SourceEvent::Interrupted { reason: "away".into() });
    settle().await;
    drop(service.ask(tab("a", "tab")).expect("a place"));
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    service.receive(SourceEvent::Subscribed);
    settle().await;
    assert_eq!(service.ask(tab("a", "tab")).expect("a place").read(), ["3"]);
    following.abort();
    service.stop().await;
}

/// A dead connection may be noticed long after its client has moved to another instance.
#[tokio::test(start_paused = true)]
async fn goes_on_from_the_latest_position_in_whatever_order_instances_tell() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    for content in ["1", "2", "3"] {
        service.publish(&["a"], content);
    }
    let (slow, quick) = (exchange.another(), exchange.another());
    quick.publish(bookmark(id(2)));
    slow.publish(bookmark(id(1)));
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange));
    settle().await;
    assert_eq!(service.ask(tab("a", "tab")).expect("a place").read(), ["3"]);
    following.abort();
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn is_told_again_when_what_instances_share_is_lost() {
    let exchange = Arc::<FakeExchange>::default();
    let mut service = instance(&exchange).await;
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange.clone()));
    exchange.another().publish(bookmark(id(0)));
    service.publish(&["a"], "1");
    settle().await;
    drop(service.ask(tab("a", "other tab")).expect("a place"));
    settle().await;
    exchange.lose();
    settle().await;
    let requests = |told: Vec<Bookmark>| {
        told.into_iter().map(|bookmark| bookmark.request.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(requests(exchange.told()), ["tab", "other tab"]);
    // What is too old to be of use is not.
    tokio::time::sleep(POLICY.resume_window).await;
    exchange.lose();
    settle().await;
    assert_eq!(exchange.told(), []);
    following.abort();
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn does_not_wait_for_an_exchange_that_is_unavailable() {
    let exchange = Arc::new(FakeExchange::out_of_reach());
    let mut service = instance(&exchange).await;
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "1");
    settle().await;
    assert_eq!(client.read(), NOTHING);
    let following = tokio::spawn(service.subscriptions.clone().follow(exchange));
    settle().await;
    assert_eq!(client.read(), ["at 1-0", "1"]);
    following.abort();
    service.stop().await;
}

/// What is unacknowledged may be older than the log reaches: the client is told of a gap.
#[tokio::test(start_paused = true)]
async fn is_told_of_a_gap_where_the_log_reaches_back_for_less_than_arriving_may_take() {
    let log = LogLimits { max_age: s(30), ..POLICY.log };
    let mut service = Service::start(StreamPolicy { log, ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut dead = service.ask(tab("a", "tab")).expect("a place");
    service.publish(&["a"], "never arrived");
    settle().await;
    assert_eq!(dead.read(), ["never arrived"]);
    tokio::time::sleep(s(50)).await;
    drop(dead);
    let mut client = service.ask(tab("a", "tab")).expect("a place");
    assert_eq!(client.read(), [gap(GapReason::Expired, "1-0", id(1))]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ends_the_older_of_two_streams() {
    for replace_streams in [true, false] {
        let mut service = Service::start(StreamPolicy { replace_streams, ..POLICY }).await;
        tokio::spawn(service.subscriptions.clone().maintain());
        let open = |name, id| service.ask(tab(name, id)).expect("a place");
        let mut older = open("a", "tab");
        let mut others = [open("a", "other tab"), open("b", "tab"), service.open("a")];
        tokio::time::sleep(s(3)).await;
        let mut newer = open("a", "tab");
        tokio::time::sleep(s(1)).await;
        assert_eq!(older.read(), NOTHING, "it is young");
        tokio::time::sleep(s(3)).await;
        let expected = replace_streams.then_some("Replaced");
        assert_eq!((older.read().last().map(String::as_str), older.ended()), (expected, expected));
        service.publish(&["a"], "1");
        settle().await;
        assert_eq!((newer.read(), newer.ended()), (vec!["1".to_owned()], None));
        assert!(others.iter_mut().all(|other| {
            other.read();
            other.ended().is_none()
        }));
        service.stop().await;
    }
}
