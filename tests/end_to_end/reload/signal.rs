//! SIGHUP at any time, and the service manager that is notified.

use rustix::process::Signal;

use super::{RELOADED, ServiceManager};
use crate::{
    client::{Stream, send_bytes},
    nats::Nats,
    program::server_with,
    service::token,
};

#[tokio::test]
async fn ends_nothing_at_any_time() {
    let nats = Nats::down();
    // During startup.
    let mut program = server_with(&nats, &[]);
    while !program.catches(Signal::HUP) {
        tokio::task::yield_now().await;
    }
    program.signal(Signal::HUP);
    let (http, _) = program.logged_addresses().await;
    // Several at once.
    for _ in 0..3 {
        program.signal(Signal::HUP);
    }
    while !program.error_line().await.expect("a line").contains(RELOADED) {}
    // During shutdown: an unfinished request delays it.
    let mut unfinished = http.connect().await.expect("connected");
    send_bytes(&mut unfinished, b"GET /sse HTTP/1.1\r\nhost:").await;
    let mut stream = Stream::open(http, "/sse", &[("x-access-token", &token("einstein"))]).await;
    program.terminate();
    assert_eq!(stream.closing_comment().await, "the service is stopping");
    program.signal(Signal::HUP);
    assert_eq!(program.status().await, Some(0));
}

#[tokio::test]
async fn notifies_the_service_manager() {
    let (nats, manager) = (Nats::down(), ServiceManager::new());
    let mut program = server_with(&nats, &[("NOTIFY_SOCKET", &*manager.path())]);
    assert_eq!(manager.next_notification().await.trim(), "READY=1");
    program.signal(Signal::HUP);
    let reloading = manager.next_notification().await;
    let lines: Vec<_> = reloading.lines().collect();
    assert_eq!(lines[0], "RELOADING=1");
    let time = lines[1].strip_prefix("MONOTONIC_USEC=").expect("the time");
    assert!(time.parse::<u64>().is_ok(), "{time}");
    assert_eq!(manager.next_notification().await.trim(), "READY=1");
    program.terminate();
    // How long it takes is shown by `process::service_manager_is_notified`.
    assert_eq!(manager.next_notification().await.lines().next(), Some("STOPPING=1"));
    assert_eq!(program.status().await, Some(0));
}
