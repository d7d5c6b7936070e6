//! A real nats-server with JetStream, and a publisher.

use std::{net::SocketAddr, process::Stdio, sync::Arc};

use async_nats::{ConnectOptions, jetstream};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpSocket,
    process::{Child, Command},
};

use crate::{DEADLINE, installed};

/// A nats-server that is killed on drop. It keeps its data until then, also while it is down.
pub(crate) struct Nats {
    data: TempDir,
    port: ReservedPort,
    arguments: Vec<String>,
    options: fn() -> ConnectOptions,
    process: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

/// A port that no other socket of this machine gets while this lives, whether or not a server listens on it.
pub(crate) struct ReservedPort {
    pub(crate) address: SocketAddr,
    /// Does not listen, and allows servers to listen on the port with `SO_REUSEADDR`.
    _socket: TcpSocket,
}

impl ReservedPort {
    pub(crate) fn any() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("set");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self { address: socket.local_addr().expect("bound"), _socket: socket }
    }
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let mut nats = Self::down();
        nats.up().await;
        nats
    }

    /// Returns a server that has a port but does not run.
    pub(crate) fn down() -> Self {
        Self {
            data: tempfile::tempdir().expect("a directory"),
            port: ReservedPort::any(),
            arguments: Vec::new(),
            options: ConnectOptions::new,
            process: None,
            log: Arc::default(),
        }
    }

    /// Starts a server with further arguments, and with the options that a publisher needs because of them.
    pub(crate) async fn start_with(arguments: &[&str], options: fn() -> ConnectOptions) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut nats = Self { arguments, options, ..Self::down() };
        nats.up().await;
        nats
    }

    pub(crate) async fn up(&mut self) {
        let mut process = Command::new(installed("NATS_SERVER", "nats-server"))
            .args(["-a", "127.0.0.1", "-p", &self.port.address.port().to_string(), "-js", "-sd"])
            .arg(self.data.path())
            .args(&self.arguments)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server runs");
        let mut log = BufReader::new(process.stderr.take().expect("piped")).lines();
        let ready = async {
            while let Some(line) = log.next_line().await.expect("its log") {
                if line.contains("Server is ready") {
                    return;
                }
            }
            panic!("nats-server has ended");
        };
        tokio::time::timeout(DEADLINE, ready).await.expect("nats-server is ready in time");
        // A full pipe would block the server.
        let lines = self.log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                lines.lock().push(line);
            }
        });
        self.process = Some(process);
    }

    /// Kills the process, as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await.expect("killed");
    }

    /// Makes the server reload its configuration.
    pub(crate) fn reload(&self) {
        let id = self.process.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        let process = id.and_then(Pid::from_raw).expect("it runs");
        rustix::process::kill_process(process, Signal::HUP).expect("signalled");
    }

    pub(crate) fn address(&self) -> String {
        self.port.address.to_string()
    }

    /// Returns whether the server has logged `text` since it was ready.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        !self.logged(text).is_empty()
    }

    /// Returns the lines with `text` that the server has logged since it was ready.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        self.log.lock().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub(crate) async fn publisher(&self) -> Publisher {
        let client = (self.options)().connect(self.address()).await.expect("nats-server answers");
        Publisher { jetstream: jetstream::new(client) }
    }
}

/// Publishes like the platform's services, and waits until NATS has stored the message.
pub(crate) struct Publisher {
    pub(crate) jetstream: jetstream::Context,
}

impl Publisher {
    pub(crate) async fn event(&self, users: &[&str], event_type: &str, content: &str) {
        self.message(&send_sse(users, event_type, content)).await;
    }

    /// Publishes arbitrary bytes to the queue.
    pub(crate) async fn message(&self, message: &str) {
        let published = self.jetstream.publish("main-queue", message.to_owned().into()).await;
        published.expect("published").await.expect("stored");
    }

    /// Publishes events as fast as NATS accepts them, and waits only for the last one.
    pub(crate) async fn events(
        &self,
        users: &[&str],
        event_type: &str,
        contents: impl Iterator<Item = String>,
    ) {
        let mut last = None;
        for content in contents {
            let message = send_sse(users, event_type, &content);
            last = Some(self.jetstream.publish("main-queue", message.into()).await.expect("published"));
        }
        if let Some(last) = last {
            last.await.expect("stored");
        }
    }
}

/// Returns a `SendSSE` event in its envelope.
pub(crate) fn send_sse(users: &[&str], event_type: &str, content: &str) -> String {
    let event = json!({ "UserIDs": users, "Type": event_type, "Message": STANDARD.encode(content) });
    envelope("events.SendSSE", &event)
}

/// Returns an event of any type in the envelope of the platform's services.
pub(crate) fn envelope(event_type: &str, event: &Value) -> String {
    json!({
        "ID": "1", "Topic": "main-queue", "Payload": STANDARD.encode(event.to_string()),
        "Metadata": { "eventid": "1", "eventtype": event_type, "initiatorid": "", "traceparent": "" },
        "Timestamp": "2026-11-23T16:10:33.440899299Z",
    })
    .to_string()
}
