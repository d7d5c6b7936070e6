//! The connection to NATS. It reconnects for as long as it is used.

use std::{path::PathBuf, time::Duration};

pub use async_nats::ServerAddr;
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{backoff, permissions::Denials, tls};
use crate::any_certificate;

/// The current state of the connection.
#[derive(Clone, Default)]
pub(super) struct ConnectionState {
    /// The client, once the first connection was established.
    pub(super) client: Option<Client>,
    /// Number of connections so far. Consumers and subscriptions of an earlier one are no longer valid.
    pub(super) generation: u64,
    /// Whether the connection is established.
    pub(super) connected: bool,
    /// Why it is not established, as far as known.
    pub(super) error: Option<String>,
    /// Whether NATS denied all replies on the previous connection. It may deny them again.
    pub(super) was_denied: bool,
}

/// A connection to NATS that reconnects whenever it is lost.
#[derive(Clone)]
pub struct Connection {
    pub(super) state: watch::Receiver<ConnectionState>,
    pub(super) denials: Denials,
    closing: CancellationToken,
}

impl Connection {
    /// Ends the tasks that use the connection. Without this call they would report a lost connection when the runtime shuts down, because
    /// the client's own task may end first.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Spawns a task that uses the connection. It ends when the connection is closed.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        tokio::spawn(async move {
            tokio::select! {
                // The task could still report the lost connection if it was polled first.
                biased;
                () = closing.cancelled() => {}
                () = task => {}
            }
        });
    }
}

/// Interval of pings to the server. The connection is lost after two unanswered ones.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Interval of reconnects while NATS denies all replies.
const DENIED_RECONNECT_INTERVAL: Duration = Duration::from_secs(5);

/// The NATS servers, and how to connect to them.
#[derive(Clone)]
pub struct Servers {
    /// The addresses. The client connects to any one of them.
    pub addresses: Vec<ServerAddr>,
    /// The credentials, if the servers require any.
    pub credentials: Option<Credentials>,
    /// The encryption of the connection, and the servers that are trusted.
    pub encryption: Encryption,
}

/// Credentials for a server.
#[derive(Clone)]
pub enum Credentials {
    /// A user with a password.
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: String,
    },
    /// A token.
    Token(String),
}

/// The encryption of the connection, and the servers that are trusted.
#[derive(Clone)]
pub enum Encryption {
    /// No encryption, unless the server requires it.
    None,
    /// TLS. The system's certificate authorities are trusted.
    SystemRoots,
    /// TLS. Only the certificate authorities in this file (PEM) are trusted.
    Roots(PathBuf),
    /// TLS. Any certificate is accepted.
    Unverified,
}

/// Starts to connect to one of `servers` and returns at once. Errors are reported by the users of the connection.
#[must_use]
pub fn connect(servers: Servers) -> Connection {
    let (sender, state) = watch::channel(ConnectionState::default());
    let denials = Denials::default();
    tokio::spawn(run(servers, sender, denials.clone()));
    Connection { state, denials, closing: CancellationToken::new() }
}

/// Retries until the first connection is established or the connection is no longer used. From then on the client reconnects itself.
/// (`retry_on_initial_connect` of the client would not report why it fails.)
async fn run(servers: Servers, state: watch::Sender<ConnectionState>, denials: Denials) {
    for attempt in 1.. {
        match options(&servers, state.clone(), denials.clone()).connect(&servers.addresses).await {
            Ok(client) => {
                state.send_modify(|state| state.client = Some(client.clone()));
                return reconnect_while_denied(client, state, denials).await;
            }
            Err(error) => drop(state.send_if_modified(|state| set_error(state, error.to_string()))),
        }
        tokio::select! {
            // Retry.
            () = tokio::time::sleep(backoff::delay(attempt)) => {}
            // The connection is no longer used.
            () = state.closed() => return,
        }
    }
}

/// Reconnects from time to time while NATS denies all replies. NATS does not report that they are permitted again, and the client
/// subscribes to them only once for each connection.
async fn reconnect_while_denied(client: Client, state: watch::Sender<ConnectionState>, denials: Denials) {
    let reconnect = async {
        loop {
            denials.replies_denied().await;
            tokio::time::sleep(DENIED_RECONNECT_INTERVAL).await;
            // The connection may be another one by now, and NATS may permit replies on it.
            if denials.replies().is_some() {
                client.force_reconnect().await.ok();
            }
        }
    };
    tokio::select! {
        // Never ends.
        () = reconnect => {}
        // The connection is no longer used.
        () = state.closed() => {}
    }
}

fn options(servers: &Servers, state: watch::Sender<ConnectionState>, denials: Denials) -> ConnectOptions {
    let options = match &servers.encryption {
        Encryption::None => ConnectOptions::new(),
        Encryption::SystemRoots => ConnectOptions::new().require_tls(true),
        Encryption::Roots(file) => {
            ConnectOptions::new().require_tls(true).tls_client_config(tls::with_roots(file.clone()))
        }
        Encryption::Unverified => {
            ConnectOptions::new().require_tls(true).tls_client_config(any_certificate::config())
        }
    };
    let options = match servers.credentials.clone() {
        Some(Credentials::User { name, password }) => options.user_and_password(name, password),
        Some(Credentials::Token(token)) => options.token(token),
        None => options,
    };
    options
        .name("ocis-sse")
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(backoff::delay)
        .event_callback(move |event| {
            let denied = denials.replies().map(|denied| denied.to_string());
            match &event {
                Event::ServerError(error) => denials.record(error),
                Event::Connected => denials.connected(),
                _ => {}
            }
            record(&state, &event, denied);
            std::future::ready(())
        })
}

/// Records an event of the client. `denied` is the denial of all replies on the previous connection, if there was one.
fn record(state: &watch::Sender<ConnectionState>, event: &Event, denied: Option<String>) {
    debug!(%event, "NATS client event");
    state.send_if_modified(|state| match event {
        Event::Connected => {
            state.generation += 1;
            state.connected = true;
            state.error = None;
            state.was_denied = denied.is_some();
            true
        }
        Event::Disconnected | Event::Closed => {
            state.connected = false;
            state.error = Some(denied.unwrap_or_else(|| "the connection to NATS was lost".into()));
            true
        }
        Event::ServerError(error) => !state.connected && set_error(state, error.to_string()),
        Event::ClientError(error) => !state.connected && set_error(state, error.to_string()),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => false,
    });
}

/// Sets the error. Returns whether it has changed.
fn set_error(state: &mut ConnectionState, error: String) -> bool {
    let new = Some(error);
    let changed = state.error != new;
    state.error = new;
    changed
}
