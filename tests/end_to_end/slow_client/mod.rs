//! A slow client delays no other client, and gets the events that the log still holds when it reads on.
//!
//! No test measures time. The test decides when the slow client may read, so the order of events is the proof.

mod burst;
mod http_2;
mod shaped_link;
mod slow_reader;

use std::{future::pending, ops::Range};

use futures_util::future::join_all;
use serde_json::Value;

use self::slow_reader::SlowReader;
use crate::{
    client::{self, Block, Stream},
    nats::{Nats, Publisher},
    resume::is_gap,
    service::{Service, token},
};

/// The bytes of an event's content in a flood.
const EVENT_BYTES: usize = 16 * 1024;
/// The events of a flood. Together they take 10 MiB, far more than the kernel buffers for a connection.
const FLOOD: usize = 640;
/// Disables the timeouts that would end a client that reads nothing.
const NO_TIMEOUT: [(&str, &str); 2] = [("SSE_WRITE_TIMEOUT", "10m"), ("SSE_TCP_USER_TIMEOUT", "10m")];
const ENDED_BY_WRITE_TIMEOUT: &str = r#"sse_connections_closed_total{reason="write_timeout"}"#;

/// Returns contents of about `bytes` bytes. Each starts with its number.
fn contents(numbers: Range<usize>, bytes: usize) -> impl Iterator<Item = String> {
    let padding = "x".repeat(bytes);
    numbers.map(move |n| format!("{n} {padding}"))
}

/// Returns the number at the start of an event's content.
fn number(event: &Block) -> usize {
    let content = event.field("data").expect("data");
    content.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no number: {content}"))
}

/// Reads events with these numbers: all of them, once, in this order, and no other event between them.
async fn read_numbers(stream: &mut Stream, numbers: Range<usize>) {
    for n in numbers {
        let event = stream.event().await;
        assert_eq!(event.field("event").as_deref(), Some("t"), "instead of event {n}: {event:?}");
        assert_eq!(number(&event), n);
    }
}

/// Publishes an event for `user` and waits until its stream gets it: then the service has read all events before it.
async fn pass_marker(publisher: &Publisher, user: &str, stream: &mut Stream) {
    publisher.event(&[user], "marker", "0").await;
    assert_eq!(stream.event().await.field("event").as_deref(), Some("marker"));
}

/// Floods slow users with `flood` events, lets each of their clients slowly read up to `limit` bytes, and lets them read without
/// any limit only after ten fast users have read all of their events.
async fn fast_users_are_first(slow_users: usize, flood: usize, limit: usize) {
    const FAST_USERS: usize = 10;
    /// Events of the flood between two events for the fast users.
    const EVENTS_BETWEEN: usize = 8;

    let nats = Nats::start().await;
    let service = Service::start(&nats, &NO_TIMEOUT).await;
    let names = |kind: &str, users| -> Vec<_> { (0..users).map(|n| format!("{kind}-{n}")).collect() };
    let (slow_users, fast_users) = (names("slow", slow_users), names("fast", FAST_USERS));
    let mut slow = join_all(slow_users.iter().map(|user| SlowReader::open(&service, user))).await;
    let mut fast = join_all(fast_users.iter().map(|user| service.follow(user))).await;
    let streams = (slow.len() + fast.len()) as u64;
    service.has_connections(streams).await;

    let publisher = nats.publisher().await;
    let [to_slow, to_fast] = [&slow_users, &fast_users].map(|users| users.iter().map(String::as_str));
    let (to_slow, to_fast): (Vec<_>, Vec<_>) = (to_slow.collect(), to_fast.collect());
    let publish = async {
        for n in 0..flood / EVENTS_BETWEEN {
            let numbers = n * EVENTS_BETWEEN..(n + 1) * EVENTS_BETWEEN;
            publisher.events(&to_slow, "t", contents(numbers, EVENT_BYTES)).await;
            publisher.event(&to_fast, "t", &n.to_string()).await;
        }
    };
    let fast_read = join_all(fast.iter_mut().map(|stream| read_numbers(stream, 0..flood / EVENTS_BETWEEN)));
    let slow_read = async {
        join_all(slow.iter_mut().map(|client| client.read_slowly(limit))).await;
        pending::<()>().await;
    };
    tokio::select! {
        // The fast users get all of their events before the slow ones may read on.
        _ = async { tokio::join!(publish, fast_read) } => {}
        () = slow_read => {}
    }
    assert_eq!(service.metric("sse_connections").await, streams, "a slow client was cut");
    // Only now the slow clients read the rest.
    slow.iter().for_each(SlowReader::resume);
    join_all(slow.iter_mut().map(|client| client.read_up_to(flood))).await;
    publisher.events(&to_slow, "t", contents(flood..flood + 1, 0)).await;
    join_all(slow.iter_mut().map(|client| client.read_up_to(flood + 1))).await;
    assert_eq!(service.metric("sse_connections").await, streams);
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_delay_others() {
    fast_users_are_first(1, FLOOD, FLOOD * EVENT_BYTES / 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_reading_does_not_delay_others() {
    fast_users_are_first(1, FLOOD, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_clients_do_not_delay_others() {
    const EVENTS: usize = FLOOD / 4;
    fast_users_are_first(50, EVENTS, EVENTS * EVENT_BYTES / 4).await;
}

/// Floods a client that reads nothing meanwhile, and then lets it read everything.
async fn gets_everything(settings: &[(&str, &str)]) {
    let nats = Nats::start().await;
    let settings: Vec<_> = NO_TIMEOUT.iter().chain(settings).copied().collect();
    let service = Service::start(&nats, &settings).await;
    let mut slow = SlowReader::open(&service, "einstein").await;
    let [mut prompt, mut marie] = [service.follow("einstein").await, service.follow("marie").await];
    service.has_connections(3).await;
    let publisher = nats.publisher().await;
    let publish = publisher.events(&["einstein"], "t", contents(0..FLOOD, EVENT_BYTES));
    // Another stream of the same user is not delayed either.
    tokio::join!(publish, read_numbers(&mut prompt, 0..FLOOD));
    pass_marker(&publisher, "marie", &mut marie).await;
    slow.resume();
    slow.read_up_to(FLOOD).await;
    publisher.events(&["einstein"], "t", contents(FLOOD..FLOOD + 10, 0)).await;
    slow.read_up_to(FLOOD + 10).await;
    assert_eq!(service.metric("sse_connections").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn gets_everything_that_fits_the_log() {
    gets_everything(&[("SSE_HISTORY_MAX_BYTES", "64MiB")]).await;
}

/// Without a history, events are still kept for open streams that have not read them.
#[tokio::test(flavor = "multi_thread")]
async fn gets_everything_without_a_history() {
    gets_everything(&[("SSE_HISTORY_MAX_AGE", "0s")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gets_a_gap_when_the_log_is_full() {
    const LOG_BYTES: usize = 1 << 20;
    let nats = Nats::start().await;
    let settings = [&NO_TIMEOUT[..], &[("SSE_HISTORY_MAX_BYTES", "1MiB")]].concat();
    let service = Service::start(&nats, &settings).await;
    let mut slow = SlowReader::open(&service, "einstein").await;
    let mut marie = service.follow("marie").await;
    service.has_connections(2).await;
    let publisher = nats.publisher().await;
    publisher.events(&["einstein"], "t", contents(0..FLOOD, EVENT_BYTES)).await;
    pass_marker(&publisher, "marie", &mut marie).await;
    slow.resume();

    // What was written before the log was full arrives first. If the service was slow to write meanwhile, there is more than one gap.
    let (mut expected, mut last, mut gaps, mut after_gap) = (0, String::new(), 0, 0);
    while expected < FLOOD {
        let mut event = slow.stream.event().await;
        if event.field("event").as_deref() == Some("stream-gap") {
            is_gap(&event, &last, "limit");
            event = slow.stream.event().await;
            assert!(number(&event) > expected, "nothing is missing before {}", number(&event));
            (expected, after_gap) = (number(&event), number(&event));
            gaps += 1;
        }
        assert_eq!(number(&event), expected, "without a gap");
        expected += 1;
        last = event.field("id").expect("an id");
    }
    assert!(gaps > 0, "all {FLOOD} events came from a log of {LOG_BYTES} bytes");
    let suffix_bytes = (FLOOD - after_gap) * EVENT_BYTES;
    let held = LOG_BYTES / 8..=LOG_BYTES;
    assert!(held.contains(&suffix_bytes), "{suffix_bytes} bytes from a log of {LOG_BYTES}");

    publisher.events(&["einstein"], "t", contents(FLOOD..FLOOD + 10, 0)).await;
    read_numbers(&mut slow.stream, FLOOD..FLOOD + 10).await;
    assert_eq!(service.metric("sse_connections").await, 2);
    assert_eq!(service.metric(r#"sse_gaps_total{reason="limit"}"#).await, gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_ended_when_it_reads_nothing() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_WRITE_TIMEOUT", "1s")]).await;
    let stalled = client::stalled(service.http, &token("einstein")).await;
    // This idle client has no event to read, so no write timeout applies.
    let _idle = client::stalled(service.http, &token("marie")).await;
    let mut max = service.follow("max").await;
    service.has_connections(3).await;
    let publisher = nats.publisher().await;
    publisher.events(&["einstein"], "t", contents(0..FLOOD, EVENT_BYTES)).await;
    service.counts(ENDED_BY_WRITE_TIMEOUT, 1).await;
    service.has_connections(2).await;
    pass_marker(&publisher, "max", &mut max).await;
    // The client can reconnect although its first connection is still unread.
    let mut returning = service.follow("einstein").await;
    publisher.events(&["einstein"], "t", contents(FLOOD..FLOOD + 10, 0)).await;
    read_numbers(&mut returning, FLOOD..FLOOD + 10).await;
    assert!(client::is_reset(stalled).await);
    assert_eq!(service.metric(ENDED_BY_WRITE_TIMEOUT).await, 1);
    assert_eq!(service.metric("sse_connections").await, 3);
}

/// The pace keeps the client from reading its events within two write timeouts, however fast the machine is.
#[tokio::test(flavor = "multi_thread")]
async fn is_not_ended_while_it_reads_a_little() {
    let nats = Nats::start().await;
    // The kernel reports progress only when a third of the send buffer is free.
    let settings = [("SSE_WRITE_TIMEOUT", "3s"), ("SSE_SEND_BUFFER", "16KiB")];
    let service = Service::start(&nats, &settings).await;
    let mut slow = SlowReader::open(&service, "einstein").await;
    service.has_connections(1).await;
    let publisher = nats.publisher().await;
    // A task of its own, which publishing does not delay.
    let read = tokio::spawn(async move {
        slow.read_slowly(FLOOD * EVENT_BYTES / 4 * 3).await;
        slow.resume();
        slow.read_up_to(FLOOD).await;
    });
    publisher.events(&["einstein"], "t", contents(0..FLOOD, EVENT_BYTES)).await;
    read.await.expect("everything in order");
    assert_eq!(service.metric(ENDED_BY_WRITE_TIMEOUT).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cannot_evict_the_events_of_others() {
    const FLOOD_BYTES: usize = 32 << 20;
    const ROUNDS: usize = 32;
    const EVENT_BYTES: usize = 64 * 1024;
    const EVENTS_OF_A_ROUND: usize = FLOOD_BYTES / EVENT_BYTES / ROUNDS;

    let nats = Nats::start().await;
    let settings = [&NO_TIMEOUT[..], &[("SSE_HISTORY_MAX_BYTES", "4MiB")]].concat();
    let service = Service::start(&nats, &settings).await;
    let publisher = nats.publisher().await;
    let _flooded = SlowReader::open(&service, "einstein").await;
    let [mut away, mut other] = [service.follow("marie").await, service.follow("einstein").await];
    let [first_of_marie, first_of_einstein] = [opening_id(&mut away).await, opening_id(&mut other).await];
    drop((away, other));
    service.has_connections(1).await;
    for round in 0..ROUNDS {
        let numbers = round * EVENTS_OF_A_ROUND..(round + 1) * EVENTS_OF_A_ROUND;
        publisher.events(&["einstein"], "t", contents(numbers, EVENT_BYTES)).await;
        publisher.events(&["marie"], "t", contents(round..round + 1, 0)).await;
    }
    let mut max = service.follow("max").await;
    pass_marker(&publisher, "max", &mut max).await;
    let mut returning = service.follow_with("marie", &[("last-event-id", &*first_of_marie)]).await;
    read_numbers(&mut returning, 0..ROUNDS).await;
    pass_marker(&publisher, "marie", &mut returning).await;
    // The flood does not fit the log.
    let mut returning = service.follow_with("einstein", &[("last-event-id", &*first_of_einstein)]).await;
    is_gap(&returning.event().await, &first_of_einstein, "limit");
}

/// Returns the id of a stream's first block.
async fn opening_id(stream: &mut Stream) -> String {
    stream.block().await.expect("an opening").field("id").expect("an id")
}

#[tokio::test]
async fn has_its_lag_reported() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &NO_TIMEOUT).await;
    let mut slow = SlowReader::open(&service, "slow").await;
    let mut fast = service.follow("fast").await;
    let publisher = nats.publisher().await;
    publisher.events(&["slow"], "t", contents(0..FLOOD, EVENT_BYTES)).await;
    pass_marker(&publisher, "fast", &mut fast).await;
    let lag = async |user: &str| {
        let shown = client::get(service.debug, &format!("/inspect/streams?user={user}"), &[]).await.body;
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        let stream = &shown["streams"][0];
        [&stream["lag_events"], &stream["lag_bytes"]].map(|lag| lag.as_u64().expect("a number"))
    };
    let [events, bytes] = lag("slow").await;
    assert!((1..FLOOD as u64).contains(&events), "{events} events");
    assert!(bytes > events * EVENT_BYTES as u64, "{bytes} bytes of {events} events");
    assert_eq!(lag("fast").await, [0, 0]);
    slow.resume();
    slow.read_up_to(FLOOD).await;
    assert_eq!(lag("slow").await, [0, 0]);
}
