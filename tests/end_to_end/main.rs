//! Tests of the whole service with real sockets and a real nats-server, as clients, administrators and NATS see it.
//!
//! `./test` fetches the programs that the tests run. `NATS_SERVER`, `NGINX`, `CADDY`, `HAPROXY`, `TRAEFIK` and
//! `SCHEMATHESIS` name others.

mod accounts;
mod api;
mod browser;
mod buckets;
mod chaos;
mod client;
mod cluster;
mod consumer;
mod cookie;
mod debug;
mod demo;
mod direct_streams;
mod doctor;
mod drain;
mod event_source;
mod frames;
mod hostile;
mod http_2;
mod inspect;
mod languages;
mod leaks;
mod ledger;
mod metrics;
mod nats;
mod nats_limits;
mod nats_security;
mod permissions;
mod platform;
mod platform_environment;
mod privacy;
mod process;
mod program;
mod proxy;
mod registry;
mod rejections;
mod reload;
mod requests;
mod resume;
mod reverse_proxies;
mod service;
mod slow_client;
mod socket_activation;
mod stream_lifetime;
mod streaming;
mod take_over;
mod tickets;
mod tls;
mod tracing;
mod transport;
mod unread_log;
mod vanished_client;

use std::{path::PathBuf, time::Duration};

/// The time after which a condition counts as never met.
const DEADLINE: Duration = Duration::from_mins(1);

/// Polls `answer` until it returns true; panics after [`DEADLINE`].
async fn eventually(what: &str, mut answer: impl AsyncFnMut() -> bool) {
    eventually_ok(async || if answer().await { Ok(()) } else { Err(format!("never: {what}")) }).await;
}

/// Polls `answer` until it returns `Ok`; panics with the last error after [`DEADLINE`].
async fn eventually_ok(mut answer: impl AsyncFnMut() -> Result<(), String>) {
    let mut wrong = "no answer".to_owned();
    let asked = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while let Err(error) = answer().await {
            wrong = error;
            again.tick().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, asked).await.is_ok();
    assert!(in_time, "{wrong}");
}

/// Returns the program named by an environment variable, else the one on the PATH.
fn installed(variable: &str, name: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("no {name} in {variable} or on the PATH: ./test fetches one"))
}
