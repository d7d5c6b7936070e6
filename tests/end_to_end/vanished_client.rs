//! A client that vanishes: no packet of it arrives any more, not even a FIN or RST.

use tokio::process::Command;

use crate::{
    service::{SECRET, token},
    transport,
};

/// Runs in a network namespace whose addresses can be removed. It needs no root, but a kernel that allows unprivileged
/// user namespaces.
async fn is_noticed(settings: &[(&str, &str)]) {
    let run = Command::new("unshare")
        .args(["--map-root-user", "--net", "python3"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/vanished_client.py"))
        .args([env!("CARGO_BIN_EXE_ocis-sse"), "server"])
        .env("TOKEN", token("einstein"))
        .env("OCIS_CONFIG_DIR", "/nowhere")
        .env("SSE_JWT_SECRET", SECRET)
        .env("SSE_HTTP_ADDR", "10.0.0.1:9135")
        .env("SSE_TCP_USER_TIMEOUT", "2s")
        .env("MICRO_REGISTRY", "memory")
        .envs(transport::settings().iter().copied())
        .envs(settings.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("unshare runs");
    let (output, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}\n{output}{errors}", run.status);
}

/// No data is in flight, so the kernel sends keepalive probes.
#[tokio::test]
async fn vanished_silent_client_is_noticed() {
    is_noticed(&[("SSE_KEEPALIVE_INTERVAL", "0s")]).await;
}

/// With data in flight the kernel sends no probes, but waits for an acknowledgement.
#[tokio::test]
async fn client_vanished_during_a_write_is_noticed() {
    is_noticed(&[("SSE_KEEPALIVE_INTERVAL", "500ms")]).await;
}
