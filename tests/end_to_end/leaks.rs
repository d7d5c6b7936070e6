//! Closed streams leave no memory behind.

use std::ops::Range;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt as _;

use crate::{
    DEADLINE, client, eventually, eventually_ok,
    nats::Nats,
    program::server_with,
    service::{sample, token},
    transport::{Connection, Server, socket},
};

const OPEN_AT_ONCE: u32 = 500;
/// After this many users the allocator's own memory has stabilized.
const WARM_UP: u32 = 10_000;
const USERS: u32 = 50_000;

/// Opens one stream for each user, and closes all when the last one is open.
async fn open_and_close(service: Server, users: Range<u32>) {
    for first in users.step_by(OPEN_AT_ONCE as usize) {
        let streams = join_all((first..first + OPEN_AT_ONCE).map(|user| follow(service, user))).await;
        for stream in streams {
            // A reset avoids TIME_WAIT: otherwise each port would be unavailable for a minute.
            socket(&stream).set_zero_linger().expect("set");
        }
    }
}

async fn follow(service: Server, user: u32) -> Connection {
    // Every fifth is a tab whose position is remembered.
    let tab = if user.is_multiple_of(5) { format!("x-request-id: tab-{user}\r\n") } else { String::new() };
    let token = token(&format!("user-{user}"));
    send_request(service, &format!("GET /sse HTTP/1.1\r\nhost: a\r\nx-access-token: {token}\r\n{tab}\r\n"))
        .await
}

/// Sends a request, and reads only the status of the response.
async fn send_request(service: Server, request: &str) -> Connection {
    let mut connection = service.connect().await.expect("connected");
    client::send_bytes(&mut connection, request.as_bytes()).await;
    let mut status = [0; "HTTP/1.1 200".len()];
    let read = connection.read_exact(&mut status);
    tokio::time::timeout(DEADLINE, read).await.expect("in time").expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_streams_leave_no_memory() {
    let nats = Nats::start().await;
    // Bookmarks expire soon; the default is two minutes.
    let mut program = server_with(&nats, &[("SSE_RESUME_WINDOW", "1s")]);
    let (http, debug) = program.logged_addresses().await;
    let all_have_gone = async || match sample::<u64>(debug, "sse_connections").await {
        0 => Ok(()),
        streams => Err(format!("{streams} streams are still open")),
    };
    let statistics = async || {
        let names = ["sse_tasks", "process_resident_memory_bytes"];
        [sample::<f64>(debug, names[0]).await, sample(debug, names[1]).await]
    };

    open_and_close(http, 0..WARM_UP).await;
    eventually_ok(all_have_gone).await;
    let before = statistics().await;
    open_and_close(http, WARM_UP..WARM_UP + USERS).await;
    eventually_ok(all_have_gone).await;
    eventually_ok(async || {
        let after = statistics().await;
        let has_shrunk = after.iter().zip(before).all(|(after, before)| *after < before * 1.1);
        has_shrunk.then_some(()).ok_or_else(|| format!("tasks and memory: {before:?} became {after:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_pages_share_their_memory() {
    const UNREAD: u32 = 100;
    /// Enough for a connection and a third of the page.
    const MAX_BYTES: f64 = 500_000.0;

    let nats = Nats::down();
    let mut program = server_with(&nats, &[]);
    let (http, debug) = program.logged_addresses().await;
    let memory = async || sample::<f64>(debug, "process_resident_memory_bytes").await;
    // After this the process has the page in memory.
    client::get(http, "/docs", &[]).await;
    let before = memory().await;
    let _unread =
        join_all((0..UNREAD).map(|_| send_request(http, "GET /docs HTTP/1.1\r\nhost: a\r\n\r\n"))).await;
    let each = (memory().await - before) / f64::from(UNREAD);
    assert!(each < MAX_BYTES, "an unread page takes {each} bytes");
}

/// Nothing is requested while the memory returns, because the allocator could use the opportunity.
#[tokio::test(flavor = "multi_thread")]
async fn memory_returns_while_the_service_is_idle() {
    const CONNECTIONS: usize = 600;
    /// Less than a head may have, so that the service waits for the rest.
    const HEAD_KIB: usize = 60;
    const ALL_HEADS_KIB: usize = CONNECTIONS * HEAD_KIB;

    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[]);
    let (http, _) = program.logged_addresses().await;
    let before = program.heap_kib();
    let grown = || program.heap_kib().saturating_sub(before);
    let head = format!("GET /sse HTTP/1.1\r\nx-long: {}", "x".repeat(HEAD_KIB * 1024));
    let connections = join_all((0..CONNECTIONS).map(|_| async {
        let mut connection = http.connect().await.expect("connected");
        client::send_bytes(&mut connection, head.as_bytes()).await;
        connection
    }))
    .await;
    eventually("the heads are in memory", async || grown() >= ALL_HEADS_KIB).await;
    drop(connections);
    eventually("their memory has returned", async || grown() < ALL_HEADS_KIB / 4).await;
}
