//! A real nats-server with JetStream, and a publisher on it.

use std::{path::PathBuf, process::Stdio};

use async_nats::{ConnectOptions, jetstream};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpSocket,
    process::{Child, Command},
};

use crate::PATIENCE;

/// A server that is killed when it is dropped. Its data stays until then, also while it is down.
pub(crate) struct Nats {
    data: TempDir,
    port: u16,
    /// Keeps the port from others while the server is down; it does not listen.
    _reservation: TcpSocket,
    arguments: Vec<String>,
    options: fn() -> ConnectOptions,
    process: Option<Child>,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let mut nats = Self::down();
        nats.up().await;
        nats
    }

    /// One that does not run yet, but has its port.
    pub(crate) fn down() -> Self {
        let reservation = TcpSocket::new_v4().expect("a socket");
        reservation.set_reuseaddr(true).expect("set");
        reservation.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let port = reservation.local_addr().expect("bound").port();
        let data = tempfile::tempdir().expect("a directory");
        Self {
            data,
            port,
            _reservation: reservation,
            arguments: Vec::new(),
            options: ConnectOptions::new,
            process: None,
        }
    }

    /// With further arguments, and what a publisher needs because of them.
    pub(crate) async fn start_with(arguments: &[&str], options: fn() -> ConnectOptions) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut nats = Self { arguments, options, ..Self::down() };
        nats.up().await;
        nats
    }

    pub(crate) async fn up(&mut self) {
        let mut process = Command::new(binary())
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
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
        tokio::time::timeout(PATIENCE, ready).await.expect("nats-server is ready in time");
        // A pipe that nobody reads would stop the server one day.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        self.process = Some(process);
    }

    /// Kills it, as a crash or the kernel would.
    pub(crate) async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await.expect("killed");
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) async fn publisher(&self) -> Publisher {
        let client = (self.options)().connect(self.address()).await.expect("nats-server answers");
        Publisher { jetstream: jetstream::new(client) }
    }
}

fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("NATS_SERVER") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("nats-server"))
        .find(|program| program.is_file())
        .expect("no nats-server in NATS_SERVER or on the PATH: ./test fetches one")
}

/// Publishes as the platform's services do, and waits until the bus has it.
pub(crate) struct Publisher {
    pub(crate) jetstream: jetstream::Context,
}

impl Publisher {
    pub(crate) async fn event(&self, users: &[&str], event_type: &str, content: &str) {
        self.message(&send_sse(users, event_type, content)).await;
    }

    /// Puts any bytes on the queue.
    pub(crate) async fn message(&self, message: &str) {
        let published = self.jetstream.publish("main-queue", message.to_owned().into()).await;
        published.expect("published").await.expect("stored");
    }

    /// Without waiting for each: as fast as the bus takes them.
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

/// An event for us, in its envelope.
pub(crate) fn send_sse(users: &[&str], event_type: &str, content: &str) -> String {
    let event = json!({ "UserIDs": users, "Type": event_type, "Message": STANDARD.encode(content) });
    json!({
        "ID": "1", "Topic": "main-queue", "Payload": STANDARD.encode(event.to_string()),
        "Metadata": { "eventid": "1", "eventtype": "events.SendSSE", "initiatorid": "", "traceparent": "" },
        "Timestamp": "2026-11-23T16:10:33.440899299Z",
    })
    .to_string()
}
