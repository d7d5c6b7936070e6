//! HTTP/2 connections without a request.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::instance::{LEEWAY, REQUEST_TIMEOUT, WRITE_TIMEOUT, within};
use crate::{
    frames::{Client, DATA, GOAWAY},
    nats::Nats,
    service::Service,
};

const DEADLINES: [(&str, &str); 2] = [("SSE_REQUEST_TIMEOUT", "1s"), ("SSE_WRITE_TIMEOUT", "2s")];

/// The intervals between requests are below the timeout, and have no common multiple with it.
#[tokio::test]
async fn busy_connection_stays_open() {
    const INTERVALS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(700)];
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &DEADLINES);
    let connect = async || {
        let connection = service.http.connect_for_http_2().await.expect("connected");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    };
    for interval in INTERVALS {
        let mut sender = connect().await;
        let mut passed = Duration::ZERO;
        while passed < REQUEST_TIMEOUT * 4 {
            let uri = format!("{}://{}/sse", service.http.scheme(), service.http);
            let request = Request::get(uri).body(Empty::<Bytes>::new()).expect("a request");
            let answer = within("an answer", LEEWAY, sender.send_request(request)).await.expect("in time");
            let answer = answer.unwrap_or_else(|error| panic!("{error} after {passed:?} of {interval:?}"));
            assert_eq!(answer.status(), 401);
            answer.into_body().collect().await.expect("a whole body");
            #[expect(clippy::disallowed_methods, reason = "the test finds out for how long it really slept")]
            let answered = Instant::now();
            tokio::time::sleep(interval).await;
            passed += interval;
            if answered.elapsed() >= REQUEST_TIMEOUT {
                // The machine was busy for so long that the connection has rightly ended.
                (sender, passed) = (connect().await, Duration::ZERO);
            }
        }
    }
}

#[tokio::test]
async fn idle_connection_gets_goaway() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &DEADLINES);
    for requests in [1, 2] {
        let mut client = Client::connect(service.http).await;
        for stream in (1..).step_by(2).take(requests) {
            client.get(stream, "/sse", &[]).await;
        }
        let mut frames = Vec::new();
        let read = async {
            while let Some(frame) = client.next().await {
                frames.push(frame);
            }
        };
        // The client does not answer GOAWAY, so the write timeout passes as well.
        let limit = REQUEST_TIMEOUT + WRITE_TIMEOUT + LEEWAY;
        within("the end of an idle connection", limit, read).await.expect("in time");
        assert!(frames.iter().any(|frame| frame.kind == DATA), "it was answered");
        // The last four bytes are the error code (RFC 9113, 6.8).
        let goodbye = frames.iter().find(|frame| frame.kind == GOAWAY).map(|frame| &frame.payload[4..8]);
        assert_eq!(goodbye, Some(&[0; 4][..]), "after {requests} requests: {frames:?}");
    }
}
