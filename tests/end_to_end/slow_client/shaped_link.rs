//! A client behind a slow link.

use std::collections::BTreeMap;

use tokio::process::Command;

use crate::{
    installed,
    service::{SECRET, token},
    transport,
};

const FAST_USERS: usize = 10;
/// The exit status of a script that cannot run on this machine.
const NOT_POSSIBLE_HERE: i32 = 77;

/// Runs all programs in networks of their own, with a link that Linux's traffic control limits to `rate`.
#[expect(clippy::print_stderr, reason = "a test that did not run says why")]
async fn delays_nobody(rate: &str) {
    let users = (0..FAST_USERS).map(|n| format!("fast-{n}")).chain(["slow".to_owned()]);
    let tokens: BTreeMap<_, _> = users.map(|user| (user.clone(), token(&user))).collect();
    let run = Command::new("unshare")
        .args(["--map-root-user", "--net", "python3"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/slow_client/shaped_link.py"))
        .arg(rate)
        .arg(installed("NATS_SERVER", "nats-server"))
        .args([env!("CARGO_BIN_EXE_ocis-sse"), "server"])
        .env("TOKENS", serde_json::to_string(&tokens).expect("JSON"))
        .env("OCIS_CONFIG_DIR", "/nowhere")
        .env("SSE_JWT_SECRET", SECRET)
        .env("SSE_HTTP_ADDR", "0.0.0.0:9135")
        .env("SSE_EVENTS_ENDPOINT", "127.0.0.1:4222")
        .env("SSE_HISTORY_MAX_BYTES", "128MiB")
        .env("MICRO_REGISTRY", "memory")
        .envs(transport::settings().iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("unshare runs");
    let (output, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.code() == Some(NOT_POSSIBLE_HERE) {
        eprintln!("passed over: {errors}");
        return;
    }
    assert!(run.status.success(), "{}\n{output}{errors}", run.status);
}

#[tokio::test]
async fn link_of_2_mbit_does_not_delay_others() {
    delays_nobody("2mbit").await;
}

#[tokio::test]
async fn link_of_8_mbit_does_not_delay_others() {
    delays_nobody("8mbit").await;
}
