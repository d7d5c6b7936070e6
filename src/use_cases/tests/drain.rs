//! The drain when the service stops, and the return of clients after it.

use std::num::NonZeroU32;

use domain::drain::DrainRate;

use super::{client::Reader, *};

#[tokio::test(start_paused = true)]
async fn ends_streams_evenly() {
    let mut service = Service::start(POLICY).await;
    let mut clients: Vec<_> = (0..10).map(|_| service.open("a")).collect();
    let draining = service.subscriptions.clone();
    let draining = tokio::spawn(async move { draining.drain(s(10)).await });
    let finishing = |clients: &[Client]| clients.iter().filter(|client| client.is_finishing()).count();
    run_until_idle().await;
    assert_eq!(finishing(&clients), 1);
    assert!(matches!(service.try_open(request("b")).err(), Some(SubscribeError::Stopping { .. })));
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(finishing(&clients), 5);
    // A stream that was not ended yet is served as before.
    service.publish(&["a"], "x");
    run_until_idle().await;
    let (ended, served) = clients.split_at_mut(5);
    let mut closing = Vec::new();
    for client in ended {
        let texts = client.read();
        assert_eq!((texts.len(), client.ended()), (1, texts.last().map(String::as_str)));
        closing.extend(texts);
    }
    for client in &mut *served {
        assert_eq!(client.read(), ["x"]);
    }
    draining.await.expect("it ends");
    for client in served {
        let texts = client.read();
        assert_eq!((texts.len(), client.ended()), (1, texts.last().map(String::as_str)));
        closing.extend(texts);
    }
    assert!(closing.iter().all(|last| last.starts_with("Stopping, back in ")), "{closing:?}");
    closing.sort();
    closing.dedup();
    assert_eq!(closing.len(), 10, "each has a time of its own");
    drop(clients);
    service.stop().await;
}

/// Returns the policy with a drain rate.
fn at_rate(per_second: u32) -> StreamPolicy {
    let rate = DrainRate::per_second(NonZeroU32::new(per_second).expect("more than zero"));
    StreamPolicy { drain_rate: Some(rate), ..POLICY }
}

/// Returns when the stream of a client has ended, and when the client returns, as it is asked to. Both are times since the start of reading.
fn end_and_return(client: &Reader) -> (Duration, Duration) {
    let (closing, end) = client.timed().pop().expect("a closing comment");
    let time = closing.strip_prefix("Stopping, back in ").and_then(|rest| rest.strip_suffix('s'));
    let time: f64 = time.and_then(|seconds| seconds.parse().ok()).expect("seconds");
    (end, end + Duration::from_secs_f64(time))
}

#[tokio::test(start_paused = true)]
async fn ends_streams_at_the_rate() {
    let service = Service::start(at_rate(4)).await;
    let clients: Vec<_> = (0..20).map(|_| service.open("a").keep_reading()).collect();
    run_until_idle().await;
    service.subscriptions.drain(s(600)).await;
    run_until_idle().await;
    for (number, client) in (0..).zip(&clients) {
        let (end, back) = end_and_return(client);
        assert_eq!(end, Duration::from_millis(250 * number));
        // Nobody waits for a slot.
        assert!((end + s(3)..=end + s(5)).contains(&back), "{end:?} to {back:?}");
    }
    drop(clients);
    service.stop().await;
}

/// The platform is asked for no more than the rate, although the time for ending streams is too short.
#[tokio::test(start_paused = true)]
async fn clients_return_at_the_rate_if_the_time_is_too_short() {
    let service = Service::start(at_rate(2)).await;
    let clients: Vec<_> = (0..200).map(|_| service.open("a").keep_reading()).collect();
    run_until_idle().await;
    service.subscriptions.drain(s(10)).await;
    run_until_idle().await;
    let (ends, mut returns): (Vec<_>, Vec<_>) = clients.iter().map(end_and_return).unzip();
    for second in 0..10 {
        let ended = ends.iter().filter(|end| end.as_secs() == second).count();
        assert_eq!(ended, 20, "streams that end in second {second}");
    }
    returns.sort();
    for (number, back) in (0..).zip(&returns) {
        // Three seconds, jitter of up to half of it, and the slot.
        let slot = Duration::from_millis(500 * number);
        assert!((s(3) + slot / 2..=s(5) + slot).contains(back), "the return {number} is at {back:?}");
    }
    for ten_seconds in returns.chunk_by(|one, other| one.as_secs() / 10 == other.as_secs() / 10) {
        assert!(ten_seconds.len() <= 20 + 3, "{} clients return within ten seconds", ten_seconds.len());
    }
    drop(clients);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ends_the_oldest_streams_first() {
    let service = Service::start(at_rate(1)).await;
    let names = ["b", "a", "c", "a", "b", "c", "a"];
    let clients = names.map(|name| service.open(name).keep_reading());
    run_until_idle().await;
    service.subscriptions.drain(s(600)).await;
    run_until_idle().await;
    let ends: Vec<_> = clients.iter().map(|client| end_and_return(client).0.as_secs()).collect();
    assert_eq!(ends, [0, 1, 2, 3, 4, 5, 6]);
    drop(clients);
    service.stop().await;
}

/// A drain may take minutes, in which many clients leave by themselves.
#[tokio::test(start_paused = true)]
async fn takes_no_time_for_streams_that_have_ended() {
    let service = Service::start(at_rate(1)).await;
    let leaving: Vec<_> = (0..5).map(|_| service.open("a")).collect();
    let staying: Vec<_> = (0..3).map(|_| service.open("b").keep_reading()).collect();
    let replaced = service.open("c");
    run_until_idle().await;
    let draining = service.subscriptions.clone();
    let draining = tokio::spawn(async move { draining.drain(s(600)).await });
    run_until_idle().await;
    drop(leaving);
    service.subscriptions.end_streams_of(&user("c"));
    draining.await.expect("it ends");
    run_until_idle().await;
    let ends: Vec<_> = staying.iter().map(|client| end_and_return(client).0.as_secs()).collect();
    assert_eq!(ends, [1, 2, 3]);
    drop((staying, replaced));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rejected_clients_return_at_the_rate() {
    let limits = StreamLimits { total: 2, per_user: 1 };
    let service = Service::start(StreamPolicy { limits, ..at_rate(2) }).await;
    let open = [service.open("a"), service.open("b")];
    let check = |name: &str, wait: Duration| {
        let retry_after = match service.try_open(request(name)).err().expect("a rejection") {
            SubscribeError::TooMany { retry_after }
            | SubscribeError::Stopping { retry_after }
            | SubscribeError::TooManyOfUser { retry_after } => retry_after,
        };
        assert!(
            (s(6) + wait..=s(9) + wait).contains(&retry_after),
            "{retry_after:?}, not {wait:?} and 6 to 9 s"
        );
    };
    for number in 0..100 {
        check("c", Duration::from_millis(500 * number));
    }
    // The slots are shared, whatever the reason of a rejection.
    let draining = service.subscriptions.clone();
    drop(open);
    draining.drain(s(10)).await;
    check("c", s(50));
    tokio::time::sleep(s(60)).await;
    check("c", s(0));
    check("c", Duration::from_millis(500));
    service.stop().await;
}

/// Otherwise a single user could delay the return of all others.
#[tokio::test(start_paused = true)]
async fn clients_at_the_limit_of_their_user_take_no_slot() {
    let limits = StreamLimits { total: 10, per_user: 1 };
    let service = Service::start(StreamPolicy { limits, ..at_rate(1) }).await;
    let open = service.open("a");
    for _ in 0..100 {
        let rejected = service.try_open(request("a")).err();
        let Some(SubscribeError::TooManyOfUser { retry_after }) = rejected else { panic!("{rejected:?}") };
        assert!((s(6)..=s(9)).contains(&retry_after), "{retry_after:?}");
    }
    drop(open);
    service.subscriptions.drain(s(10)).await;
    let rejected = service.try_open(request("b")).err();
    let Some(SubscribeError::Stopping { retry_after }) = rejected else { panic!("{rejected:?}") };
    assert!((s(6)..=s(9)).contains(&retry_after), "{retry_after:?}");
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reloaded_rate_applies() {
    let service = Service::start(POLICY).await;
    let clients = ["a", "a", "a"].map(|name| service.open(name).keep_reading());
    run_until_idle().await;
    service.subscriptions.set_policy(at_rate(1));
    service.subscriptions.drain(s(600)).await;
    run_until_idle().await;
    assert_eq!(clients.each_ref().map(|client| end_and_return(client).0.as_secs()), [0, 1, 2]);
    drop(clients);
    service.stop().await;
}
