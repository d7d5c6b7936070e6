//! What a client, an administrator and the bus could notice, over real sockets and a real nats-server.
//!
//! `./test` provides the server; `NATS_SERVER` names another one.

mod api;
mod bus;
mod client;
mod debug;
mod demo;
mod lives;
mod nats;
mod process;
mod refusals;
mod registry;
mod returning;
mod service;
mod slow_clients;
mod streaming;
mod tls;
mod towards_the_bus;
mod tracing;

use std::time::Duration;

/// Whatever takes longer than this does not happen at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again and again until the answer is yes.
async fn eventually(what: &str, mut answer: impl AsyncFnMut() -> bool) {
    let asked = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while !answer().await {
            again.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {what}"));
}
