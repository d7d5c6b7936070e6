//! A peer that is gone without a word: nothing comes from it any more, not even that it has gone.

use tokio::process::Command;

use crate::{
    service::{SECRET, token},
    transport,
};

/// In a network of its own, whose addresses can be taken away. That needs no root, but a kernel that lets everybody have one.
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

/// Nothing is on its way to it: the kernel has to ask whether it is there.
#[tokio::test]
async fn vanished_silent_client_is_noticed() {
    is_noticed(&[("SSE_KEEPALIVE_INTERVAL", "0s")]).await;
}

/// While something is on its way, the kernel asks nothing, but waits for it to be acknowledged.
#[tokio::test]
async fn client_vanished_during_a_write_is_noticed() {
    is_noticed(&[("SSE_KEEPALIVE_INTERVAL", "500ms")]).await;
}
