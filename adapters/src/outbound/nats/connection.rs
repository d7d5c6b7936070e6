//! The line to the NATS servers, which is never given up.

use std::{path::PathBuf, time::Duration};

pub use async_nats::ServerAddr;
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{backoff, permissions::Denials, tls};

/// How the line is at present.
#[derive(Clone, Default)]
pub(super) struct LineState {
    /// What speaks over it, once it was made for the first time.
    pub(super) client: Option<Client>,
    /// Counts the times it was made; what was agreed upon over an earlier one no longer holds.
    pub(super) generation: u64,
    /// Whether it is there.
    pub(super) connected: bool,
    /// Why it is not, as far as is known.
    pub(super) trouble: Option<String>,
    /// Whether NATS denied all answers over the one before, as it may deny them again.
    pub(super) was_denied: bool,
}

/// A connection to NATS that is made again whenever it is lost.
#[derive(Clone)]
pub struct Connection {
    pub(super) state: watch::Receiver<LineState>,
    pub(super) denials: Denials,
    closing: CancellationToken,
}

impl Connection {
    /// Ends the tasks that use the connection. Without it they would report a lost connection when the runtime shuts down, because the
    /// client's own task may go first.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Spawns a task that uses the connection and ends when that is closed.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        tokio::spawn(async move { closing.run_until_cancelled(task).await });
    }
}

/// How often the other end is asked whether it is there. A line is given up after two silences.
const PING: Duration = Duration::from_secs(10);
/// How often a connection is made again over which NATS denies all answers.
const ANSWERS_RETRY: Duration = Duration::from_secs(5);

/// Where the servers are, and how they are to be met.
#[derive(Clone)]
pub struct Servers {
    /// Any one of them will do.
    pub addresses: Vec<ServerAddr>,
    /// Credentials, if the servers ask for any.
    pub credentials: Option<Credentials>,
    /// Whether the line is encrypted, and who may be at its other end.
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

/// Whether a line is encrypted, and who may be at its other end.
#[derive(Clone)]
pub enum Encryption {
    /// It is not, unless the server insists.
    None,
    /// Whom the system's authorities know.
    SystemRoots,
    /// Whom the authorities in this file (PEM) know, and nobody else.
    Roots(PathBuf),
    /// Anybody.
    Unverified,
}

/// Begins to connect to one of `servers`, and answers without waiting for it. What stands in the way is told by whatever
/// uses the connection.
#[must_use]
pub fn connect(servers: Servers) -> Connection {
    let (sender, state) = watch::channel(LineState::default());
    let denials = Denials::default();
    tokio::spawn(first_contact(servers, sender, denials.clone()));
    Connection { state, denials, closing: CancellationToken::new() }
}

/// Tries until the line is there or nobody wants it any more; from then on the client makes it again by itself. (The client
/// could do this first part, too, but would not say why it fails.)
async fn first_contact(servers: Servers, state: watch::Sender<LineState>, denials: Denials) {
    for attempt in 1.. {
        match options(&servers, state.clone(), denials.clone()).connect(&servers.addresses).await {
            Ok(client) => {
                state.send_modify(|state| state.client = Some(client.clone()));
                return ask_for_answers(client, state, denials).await;
            }
            Err(error) => drop(state.send_if_modified(|state| trouble(state, error.to_string()))),
        }
        tokio::select! {
            // Then again.
            () = tokio::time::sleep(backoff::delay(attempt)) => {}
            // Nobody waits for it.
            () = state.closed() => return,
        }
    }
}

/// Makes the connection again from time to time while NATS denies all answers. NATS does not say when they are permitted, and the client
/// subscribes to them once for each connection.
async fn ask_for_answers(client: Client, state: watch::Sender<LineState>, denials: Denials) {
    let denied = async {
        loop {
            denials.answers_denied().await;
            tokio::time::sleep(ANSWERS_RETRY).await;
            client.force_reconnect().await.ok();
            denials.answers_permitted().await;
        }
    };
    tokio::select! {
        // It has no end.
        () = denied => {}
        // Nobody uses the connection any more.
        () = state.closed() => {}
    }
}

fn options(servers: &Servers, state: watch::Sender<LineState>, denials: Denials) -> ConnectOptions {
    let options = match &servers.encryption {
        Encryption::None => ConnectOptions::new(),
        Encryption::SystemRoots => ConnectOptions::new().require_tls(true),
        Encryption::Roots(file) => {
            ConnectOptions::new().require_tls(true).tls_client_config(tls::with_roots(file.clone()))
        }
        Encryption::Unverified => {
            ConnectOptions::new().require_tls(true).tls_client_config(tls::unverified())
        }
    };
    let options = match servers.credentials.clone() {
        Some(Credentials::User { name, password }) => options.user_and_password(name, password),
        Some(Credentials::Token(token)) => options.token(token),
        None => options,
    };
    options
        .name("ocis-sse")
        .ping_interval(PING)
        .max_reconnects(None)
        .reconnect_delay_callback(backoff::delay)
        .event_callback(move |event| {
            let denied = denials.answers().map(|denied| denied.to_string());
            match &event {
                Event::ServerError(error) => denials.note(error),
                Event::Connected => denials.connected(),
                _ => {}
            }
            note(&state, &event, denied);
            std::future::ready(())
        })
}

/// Notes what an event says of the connection, over which NATS has denied something for this reason.
fn note(state: &watch::Sender<LineState>, event: &Event, denied: Option<String>) {
    debug!(%event, "NATS");
    state.send_if_modified(|state| match event {
        Event::Connected => {
            state.generation += 1;
            state.connected = true;
            state.trouble = None;
            state.was_denied = denied.is_some();
            true
        }
        Event::Disconnected | Event::Closed => {
            state.connected = false;
            state.trouble = Some(denied.unwrap_or_else(|| "the connection to NATS was lost".into()));
            true
        }
        Event::ServerError(error) => !state.connected && trouble(state, error.to_string()),
        Event::ClientError(error) => !state.connected && trouble(state, error.to_string()),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => false,
    });
}

fn trouble(state: &mut LineState, text: String) -> bool {
    let new = Some(text);
    let changed = state.trouble != new;
    state.trouble = new;
    changed
}
