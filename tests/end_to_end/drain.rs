//! The drain at a fixed rate.
#![expect(clippy::disallowed_methods, reason = "the tests measure when streams end")]

use std::time::{Duration, Instant};

use crate::{
    client::{Stream, get},
    nats::Nats,
    program::{Program, server_with},
    service::{Service, token},
};

/// A stream that the drain has ended.
struct Ended {
    /// Time from SIGTERM until the client has read the closing comment.
    after: Duration,
    /// The time after which the client is asked to return.
    retry: Duration,
}

/// Opens `streams` streams one after the other, stops the service, and reads the streams to their ends.
async fn drain(program: &mut Program, streams: usize) -> Vec<Ended> {
    let (address, _) = program.logged_addresses().await;
    let headers = [("x-access-token", &*token("einstein"))];
    let mut open = Vec::new();
    for _ in 0..streams {
        open.push(Stream::open(address, "/sse", &headers).await);
    }
    let start = Instant::now();
    program.terminate();
    let mut ended = Vec::new();
    for stream in &mut open {
        while let Some(block) = stream.block().await {
            if block.0.contains("the service is stopping") {
                let retry = block.field("retry").expect("a time").parse().expect("a number");
                ended.push(Ended { after: start.elapsed(), retry: Duration::from_millis(retry) });
            }
        }
    }
    assert_eq!(ended.len(), streams, "each stream has a closing comment");
    ended
}

/// Returns the rest of the log of a service that stops by itself.
async fn log_of_the_stop(program: &mut Program) -> Vec<serde_json::Value> {
    let log = program.remaining_errors().await;
    assert_eq!(program.status().await, Some(0));
    log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn ends_streams_at_the_rate() {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_DRAIN_TIMEOUT", "2m"), ("SSE_DRAIN_RATE", "10")]);
    let ended = drain(&mut program, 20).await;
    for (number, Ended { after, retry }) in (0..).zip(&ended) {
        assert!(
            *after >= Duration::from_millis(100) * number,
            "the stream {number} has ended after {after:?}"
        );
        let times = Duration::from_secs(3)..Duration::from_secs(9);
        assert!(times.contains(retry), "the client {number} is asked to return after {retry:?}");
    }
    // Without a rate it would be after 91 s.
    assert!(ended[19].after < Duration::from_secs(30), "{:?}", ended[19].after);
    let log = log_of_the_stop(&mut program).await;
    let start = log.iter().find(|line| line["message"] == "ending all streams").expect("a line");
    assert_eq!((start["streams"].as_u64(), start["seconds"].as_f64()), (Some(20), Some(2.0)));
    assert!(log.iter().all(|line| line["setting"] != "streams.drain_timeout"), "{log:?}");
}

#[tokio::test]
async fn clients_return_at_the_rate_if_the_timeout_is_too_short() {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_DRAIN_TIMEOUT", "1s"), ("SSE_DRAIN_RATE", "1")]);
    let ended = drain(&mut program, 10).await;
    for (number, Ended { after, retry }) in (0..).zip(&ended) {
        let (back, slot) = (*after + *retry, Duration::from_secs(number));
        let times = slot + Duration::from_secs(3)..slot + Duration::from_secs(12);
        assert!(times.contains(&back), "the client {number} is asked to return {back:?} after SIGTERM");
    }
    // Ten seconds at the rate of one a second would be four fifths of the timeout.
    let log = log_of_the_stop(&mut program).await;
    let warning = log.iter().find(|line| line["setting"] == "streams.drain_timeout").expect("a warning");
    assert_eq!(warning["level"], "warn");
    assert_eq!((warning["rate"].as_u64(), warning["needed_seconds"].as_u64()), (Some(1), Some(13)));
}

#[tokio::test]
async fn rejected_clients_return_at_the_rate() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_MAX_CONNECTIONS", "1"), ("SSE_DRAIN_RATE", "1")]).await;
    let _open = service.follow("einstein").await;
    let start = Instant::now();
    for number in 0..10 {
        let response = get(service.http, "/sse", &[("x-access-token", &token("marie"))]).await;
        assert_eq!(response.status, 503);
        let seconds = response.header("retry-after").expect("a time").parse().expect("a number");
        let back = start.elapsed() + Duration::from_secs(seconds);
        let times = Duration::from_secs(number + 6)..Duration::from_secs(number + 18);
        assert!(times.contains(&back), "the client {number} is asked to return after {back:?}");
    }
}
