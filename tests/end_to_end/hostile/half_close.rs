//! Clients that shut down their sending side and read on (TCP half-close).

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::instance::{Instance, LEEWAY, within};
use crate::{client::send_bytes, nats::Nats, service::token, transport::Server};

/// The number of requests of each kind.
const TIMES: usize = 60;
const LANGUAGE: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";

/// Sends `bytes` and shuts down the sending side.
async fn half_closed(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.expect("connected");
    connection.write_all(bytes).await.expect("sent");
    connection.shutdown().await.expect("half-closed");
    connection
}

#[tokio::test]
async fn http_2_preface_prefix_does_no_harm() {
    let nats = Nats::start().await;
    for prefix in ["P", "PR", "PRI", "PRI ", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        let instance = Instance::start(&nats, &[]).await;
        let clients = [instance.http.address, instance.debug]
            .into_iter()
            .flat_map(|address| (0..4).map(move |_| half_closed(address, prefix.as_bytes())));
        let clients = join_all(clients).await;
        let unharmed = instance.stops_cleanly().await;
        assert_eq!(unharmed, Ok(()), "after {prefix:?} and a half-close");
        drop(clients);
    }
}

/// Returns the response to a request after which the client shuts down its sending side.
async fn answer(server: Server, request: &str) -> String {
    let mut answer = Vec::new();
    let exchange = async {
        let mut connection = server.connect().await.expect("connected");
        send_bytes(&mut connection, request.as_bytes()).await;
        connection.shutdown().await.expect("half-closed");
        connection.read_to_end(&mut answer).await.ok();
    };
    within("an end of the connection", LEEWAY, exchange).await.expect("in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn request_is_answered_every_time() {
    let nats = Nats::start().await;
    let instance = Instance::start(&nats, &[]).await;
    let (http, debug) = (instance.http, Server::from(instance.debug));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let put = format!(
        "PUT {LANGUAGE} HTTP/1.1\r\nhost: a\r\nx-access-token: {}\r\ncontent-type: application/json\r\n\
        content-length: 17\r\n\r\n{{\"language\":\"de\"}}",
        token("einstein"),
    );
    let mut unanswered = Vec::new();
    for (what, server, request, status) in [
        ("PUT of a language", http, put, "200"),
        ("rejected stream", http, get("/sse"), "401"),
        ("page", http, get("/docs"), "200"),
        ("probe", debug, get("/healthz"), "200"),
        ("metrics", debug, get("/metrics"), "200"),
    ] {
        let mut answers = Vec::new();
        for _ in 0..TIMES {
            answers.push(answer(server, &request).await);
        }
        answers.retain(|answer| !is_whole(answer, status));
        if let Some(other) = answers.first() {
            unanswered.push(format!("{what}: {} of {TIMES} times, such as {other:.100?}", answers.len()));
        }
    }
    assert!(unanswered.is_empty(), "{unanswered:#?}");
}

/// Returns whether a response has this status and the content length of its head.
fn is_whole(answer: &str, status: &str) -> bool {
    let Some((head, content)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    head.starts_with(&format!("HTTP/1.1 {status} ")) && length == Some(content.len())
}
