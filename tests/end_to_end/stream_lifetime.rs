//! The lifetime of streams, and limits of their number.

use std::{
    net::TcpStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::{
    client::{self, Stream, get, send_bytes},
    eventually,
    nats::Nats,
    program::{server_with, server_with_descriptors},
    service::{Service, sample, token, token_with},
};

fn token_until(expires: u64) -> String {
    token_with(&json!({
        "aud": ["reva"], "exp": expires,
        "user": { "id": { "opaque_id": "einstein" } }, "scope": { "user": {} },
    }))
}

#[tokio::test]
async fn stream_ends_cleanly_at_token_expiry() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    #[expect(clippy::disallowed_methods, reason = "a token's time is the wall clock's")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    // The leeway of five seconds ends soon.
    let token = token_until(now - 1);
    let mut stream = Stream::open(service.http, "/sse", &[("x-access-token", &token)]).await;
    let mut other = service.follow("einstein").await;
    assert_eq!(stream.closing_comment().await, "the token has expired or is about to");
    assert_eq!(service.metric(r#"sse_connections_closed_total{reason="expired"}"#).await, 1);
    service.stop();
    assert_eq!(other.closing_comment().await, "the service is stopping", "until then it was open");
}

#[tokio::test]
async fn stream_and_connection_end_at_the_maximum_age() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_MAX_STREAM_AGE", "1s")]);
    assert_eq!(service.follow("einstein").await.closing_comment().await, "the stream has reached its age");
    // A request behind a stream gets no response: the stream announces `connection: close`, and its last bytes are not
    // lost.
    let request = format!("GET /sse HTTP/1.1\r\nhost: a\r\nx-access-token: {}\r\n\r\n", token("einstein"));
    let answer = client::exchange(service.http, &[&*request, &*request].concat().into_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with(": the stream has reached its age\n\n\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn http_1_0_gets_no_chunked_encoding() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_MAX_STREAM_AGE", "1s")]);
    let request = format!("GET /sse HTTP/1.0\r\nx-access-token: {}\r\n\r\n", token("einstein"));
    let answer = client::exchange(service.http, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("retry: ") && body.ends_with(": the stream has reached its age\n\n"), "{body}");
}

#[tokio::test]
async fn expect_continue_is_answered_at_once() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let request = format!(
        "GET /sse HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\nx-access-token: {}\r\n\r\n",
        token("einstein"),
    );
    let answer = client::answer_until(service.http, request.as_bytes(), "retry: ").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// The client's pipelined bytes do not matter.
#[tokio::test]
async fn disconnected_client_is_noticed_without_a_write() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let request = format!("GET /sse HTTP/1.1\r\nhost: a\r\nx-access-token: {}\r\n\r\n", token("einstein"));
    for behind in ["", &*request, "GET", "anything at all"] {
        let mut client = service.http.connect().await.expect("connected");
        send_bytes(&mut client, format!("{request}{behind}").as_bytes()).await;
        service.has_connections(1).await;
        drop(client);
        service.has_connections(0).await;
    }
}

#[tokio::test]
async fn client_that_keeps_sending_is_cut() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    let mut client = client::stalled(service.http, &token("einstein")).await;
    service.has_connections(1).await;
    send_bytes(&mut client, &vec![b'x'; 60_000]).await;
    assert_eq!(service.metric("sse_connections").await, 1);
    // The connection is reset during this write or after it.
    client.write_all(&vec![b'x'; 60_000]).await.ok();
    service.has_connections(0).await;
    assert!(client::is_reset(client).await);
}

#[tokio::test]
async fn logout_event_arrives_and_ends_the_streams() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    let [mut one, mut two] = [service.follow("einstein").await, service.follow("einstein").await];
    let mut marie = service.follow("marie").await;
    let publisher = nats.publisher().await;
    publisher.event(&["einstein"], "backchannel-logout", "{}").await;
    for stream in [&mut one, &mut two] {
        assert_eq!(stream.event().await.field("event").as_deref(), Some("backchannel-logout"));
        assert_eq!(stream.closing_comment().await, "the user has logged out");
    }
    publisher.event(&["marie"], "t", "still here").await;
    assert_eq!(marie.content().await, "still here");

    let service = Service::start(&nats, &[("SSE_CLOSE_ON_LOGOUT", "false")]).await;
    let mut stays = service.follow("einstein").await;
    publisher.event(&["einstein"], "backchannel-logout", "{}").await;
    publisher.event(&["einstein"], "t", "still here").await;
    assert_eq!([stays.content().await, stays.content().await], ["{}", "still here"]);
}

#[tokio::test]
async fn limits_are_reported_with_retry_after() {
    let nats = Nats::start().await;
    let limits = [("SSE_MAX_CONNECTIONS", "3"), ("SSE_MAX_CONNECTIONS_PER_USER", "2")];
    let service = Service::start(&nats, &limits).await;
    let mut open = [service.follow("einstein").await, service.follow("einstein").await];
    let check = async |user: &str, status: u16| {
        let response = get(service.http, "/sse", &[("x-access-token", &token(user))]).await;
        assert_eq!(response.status, status, "{}", response.body);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        let seconds: u64 = response.header("retry-after").expect("a time").parse().expect("a number");
        assert!((6..=9).contains(&seconds), "{seconds}");
    };
    check("einstein", 429).await;
    let _marie = service.follow("marie").await;
    check("richard", 503).await;
    assert_eq!(service.metric(r#"sse_limit_refusals_total{limit="user"}"#).await, 1);
    assert_eq!(service.metric(r#"sse_limit_refusals_total{limit="total"}"#).await, 1);
    // Open streams are not affected.
    nats.publisher().await.event(&["einstein"], "t", "hello").await;
    for stream in &mut open {
        assert_eq!(stream.content().await, "hello");
    }
    drop(open);
    service.has_connections(1).await;
    service.follow("einstein").await;
}

/// As after a restart, when all clients reconnect at once. A client without a place in the listen backlog would retry
/// after one, three and seven seconds.
#[tokio::test]
async fn simultaneous_connections_wait_in_the_backlog() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[]);
    // The only thread of the test's runtime is busy here, so no connection is accepted meanwhile.
    let connect = |_| TcpStream::connect_timeout(&service.http.address, Duration::from_millis(900));
    // Fails with the first connection that has no place in the backlog.
    let connections: Result<Vec<_>, _> = (0..1000).map(connect).collect();
    connections.expect("a place in the backlog for each connection");
}

#[tokio::test]
async fn shutdown_ends_streams_one_after_another() {
    const STREAMS: usize = 20;
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_DRAIN_TIMEOUT", "10s")]);
    let publisher = nats.publisher().await;
    let (address, debug) = program.logged_addresses().await;
    let headers = [("x-access-token", &*token("einstein"))];
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Stream::open(address, "/sse", &headers).await);
    }
    eventually("ready", async || get(debug, "/readyz", &[]).await.status == 200).await;
    program.terminate();
    eventually("not ready", async || get(debug, "/readyz", &[]).await.body == "stopping").await;
    eventually("rejected", async || {
        let (status, headers) = client::head(address, "/sse", &headers).await;
        status == 503 && headers.contains_key("retry-after")
    })
    .await;
    // Streams that still wait for their end get events as before.
    publisher.event(&["einstein"], "t", "meanwhile").await;
    let mut times = Vec::new();
    let mut served = 0;
    for stream in &mut streams {
        loop {
            let Some(block) = stream.block().await else { break };
            served += usize::from(block.field("data").as_deref() == Some("meanwhile"));
            if block.0.contains("the service is stopping") {
                times.push(block.field("retry").expect("a time").parse::<u64>().expect("a number"));
            }
        }
    }
    assert!(served > STREAMS / 2, "{served} of {STREAMS}");
    assert_eq!(times.len(), STREAMS);
    assert!(times.iter().all(|time| (3000..=4500).contains(time)), "{times:?}");
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > STREAMS / 2, "{times:?}");
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn stream_ends_after_the_write_timeout() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &[("SSE_WRITE_TIMEOUT", "2s"), ("SSE_SEND_BUFFER", "4KiB")]).await;
    let mut reads = service.follow("einstein").await;
    let stalled = client::stalled(service.http, &token("einstein")).await;
    service.has_connections(2).await;
    // More than the socket buffers hold.
    let large = "x".repeat(500_000);
    nats.publisher().await.event(&["einstein"], "t", &large).await;
    assert_eq!(reads.content().await, large);
    service.has_connections(1).await;
    assert_eq!(service.metric(r#"sse_connections_closed_total{reason="write_timeout"}"#).await, 1);
    assert!(client::is_reset(stalled).await);
}

#[tokio::test]
async fn connection_without_request_ends_in_time() {
    let nats = Nats::down();
    let service = Service::start_unready(&nats, &[("SSE_REQUEST_TIMEOUT", "500ms")]);
    for sent in ["", "GET /sse HTTP/1.1\r\nhost:"] {
        let sent_away = client::exchange(service.http, sent.as_bytes());
        tokio::time::timeout(Duration::from_secs(9), sent_away)
            .await
            .expect("before the default of ten seconds");
    }
}

#[tokio::test]
async fn descriptors_limit_the_number_of_streams() {
    let nats = Nats::down();
    let mut program = server_with_descriptors(&nats, 100, 800, &[]);
    let (address, debug) = program.logged_addresses().await;
    // The reserve is for NATS, the debug server, and rejected requests.
    let mut open = Vec::new();
    let status = loop {
        let user = token(&format!("user-{}", open.len() / 10));
        let (status, _, body) =
            client::send(address, Method::GET, "/sse", &[("x-access-token", &*user)]).await;
        if status != 200 {
            break status;
        }
        open.push(body);
    };
    assert_eq!((status, open.len()), (503, 650));
    assert_eq!(sample::<f64>(debug, "process_max_fds").await.to_string(), "800");
}

#[tokio::test]
async fn descriptor_limit_is_always_raised() {
    let nats = Nats::down();
    let mut program = server_with_descriptors(&nats, 100, 800, &[("SSE_MAX_CONNECTIONS", "700")]);
    let debug = program.logged_addresses().await.1;
    assert_eq!(sample::<f64>(debug, "process_max_fds").await.to_string(), "800");
}
