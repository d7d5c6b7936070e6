//! A log that nobody reads: standard error is a full pipe.

use std::{io::Write as _, net::SocketAddr};

use rustix::pipe::fcntl_setpipe_size;
use tokio::process::Command;

use crate::{
    DEADLINE,
    client::{Stream, get},
    eventually,
    nats::Nats,
    program::{Program, server_with},
    service::{sample, token},
    transport::Server,
};

/// The audit log of as many streams has no room in the pipe.
const STREAMS: usize = 60;
/// Together larger than the pipe and all lines that the service keeps.
const LONG_REQUESTS: usize = 60;
const LONG_PATH_BYTES: usize = 50_000;
const DROPPED: &str = "sse_log_lines_dropped_total";

/// Starts a service whose log has room for a few lines from now on, and is not read.
async fn server_with_small_pipe(nats: &Nats, settings: &[(&str, &str)]) -> (Program, Server, SocketAddr) {
    let mut program = server_with(nats, settings);
    let (http, debug) = program.logged_addresses().await;
    while program.log_line().await["message"] != "reading from NATS" {}
    program.shrink_log_pipe();
    (program, http, debug)
}

#[tokio::test]
async fn stops_neither_streams_nor_probes() {
    let nats = Nats::start().await;
    let (mut program, http, debug) = server_with_small_pipe(&nats, &[("SSE_LOG_AUDIT", "true")]).await;
    let token = token("einstein");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Stream::open(http, "/sse", &[("x-access-token", &token)]).await);
    }
    nats.publisher().await.event(&["einstein"], "t", "an event").await;
    for stream in &mut streams {
        assert_eq!(stream.content().await, "an event");
    }
    // Readiness also waits for the service registry.
    eventually("ready", async || get(debug, "/readyz", &[]).await.status == 200).await;
    program.terminate();
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn loses_lines_and_says_how_many() {
    let nats = Nats::start().await;
    let (mut program, http, debug) = server_with_small_pipe(&nats, &[("SSE_LOG_LEVEL", "debug")]).await;
    let path = format!("/{}", "x".repeat(LONG_PATH_BYTES));
    for _ in 0..LONG_REQUESTS {
        assert_eq!(get(http, &path, &[]).await.status, 404);
    }
    let mut written = 0;
    let notice = loop {
        let line = program.log_line().await;
        written += usize::from(line["message"] == "access-log");
        if line["message"] == "log lines dropped" {
            break line;
        }
    };
    assert_eq!(notice["level"], "warn");
    let dropped: u64 = sample(debug, DROPPED).await;
    assert_eq!(notice["lines"], dropped);
    // All that the service had kept comes before what it dropped.
    assert_eq!(written + usize::try_from(dropped).expect("few"), LONG_REQUESTS);
    assert!(written >= 20 && dropped >= 20, "{written} written, {dropped} dropped");
}

#[tokio::test]
async fn does_not_keep_the_program_from_ending() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (_unread, mut full) = std::io::pipe().expect("a pipe");
    let size = fcntl_setpipe_size(&full, 1).expect("a small pipe");
    full.write_all(&vec![b'\n'; size]).expect("written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_ocis-sse"))
        .arg("server")
        .env_clear()
        // Too short, which is logged.
        .envs([("OCIS_JWT_SECRET", "short"), ("SSE_HTTP_ADDR", &address)])
        .stderr(full)
        .kill_on_drop(true)
        .spawn()
        .expect("it runs");
    let status = tokio::time::timeout(DEADLINE, program.wait()).await.expect("an end in time");
    assert_eq!(status.expect("an end").code(), Some(1));
}
