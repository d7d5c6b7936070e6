//! Requests that are rejected before they are routed.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{HeaderMap, Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use super::instance::within;
use crate::{
    DEADLINE,
    client::{self, Response},
    nats::Nats,
    service::Service,
    transport::Server,
};

/// Checks that a response has problem details (RFC 9457) with this status.
fn is_problem(answer: &Response, status: u16) -> Result<(), String> {
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let seen = (answer.status, answer.header("content-type"), problem["status"].as_u64());
    let expected = (status, Some("application/problem+json"), Some(u64::from(status)));
    if seen == expected && problem["detail"].is_string() {
        Ok(())
    } else {
        Err(format!("{seen:?} {:.200?} in the place of {expected:?}", answer.body))
    }
}

/// Returns the response to these bytes, up to the end of the connection.
async fn answer(server: Server, request: &[u8]) -> Response {
    let answer = client::exchange(server, request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        let name: hyper::header::HeaderName = name.parse().expect("a name");
        headers.insert(name, value.parse().expect("a value"));
    }
    Response { status, headers, body: body.to_owned() }
}

/// Asserts that there are no failures, and prints each on a line of its own.
#[track_caller]
fn none(failures: &[String]) {
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn get_problem_details() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let mut failures = Vec::new();
    for request in [
        "GET /sse HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: a\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: http://a/\r\nconnection: close\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: a:b\r\nconnection: close\r\n\r\n",
        "\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /sse\r\n\r\n",
        "hello, is anybody there?\r\n\r\n",
        "GET /sse HTTP/9.9\r\nhost: a\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        "GET /sse HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
    ] {
        let answer = answer(service.http, request.as_bytes()).await;
        if let Err(error) = is_problem(&answer, 400) {
            failures.push(format!("{request:?}: {error}"));
        }
    }
    none(&failures);
}

/// Returns the response to a request with a field of `kib` KiB.
async fn large_head(server: Server, kib: usize, http_2: bool) -> Response {
    let large = "x".repeat(kib * 1024);
    if !http_2 {
        let request =
            format!("GET /sse HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\nconnection: close\r\n\r\n");
        return answer(server, request.as_bytes()).await;
    }
    let connection = server.connect_for_http_2().await.expect("connected");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await;
    let (mut sender, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get(format!("{}://{server}/sse", server.scheme())).header("x-large", large);
    let exchange = async {
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).expect("a request")).await?;
        let (head, body) = answer.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).expect("UTF-8");
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    };
    exchange.await.unwrap_or_else(|error: hyper::Error| Response {
        status: 0,
        headers: HeaderMap::new(),
        body: error.to_string(),
    })
}

#[tokio::test]
async fn head_has_the_same_limit_with_both_versions() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let mut failures = Vec::new();
    for http_2 in [false, true] {
        // A head within the limit gets 401 because it has no token.
        for (kib, status) in [(60, 401), (70, 431)] {
            let answer = within("an answer", DEADLINE, large_head(service.http, kib, http_2)).await;
            if let Err(error) = answer.and_then(|answer| is_problem(&answer, status)) {
                failures.push(format!("{kib} KiB, HTTP/2: {http_2}: {error}"));
            }
        }
    }
    none(&failures);
}
