//! A real nats-server with JetStream, and a publisher on it.

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

/// A server that is killed when it is dropped. Its data stays until then, also while it is down.
pub(crate) struct Nats {
    data: TempDir,
    port: ReservedPort,
    arguments: Vec<String>,
    options: fn() -> ConnectOptions,
    process: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

/// A port that nobody else is given as long as this lives, whether somebody listens at it or not.
pub(crate) struct ReservedPort {
    pub(crate) address: SocketAddr,
    /// Does not listen, and lets those who listen with `SO_REUSEADDR`, as servers do.
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

    /// One that does not run yet, but has its port.
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

    /// With further arguments, and what a publisher needs because of them.
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
        // A pipe that nobody reads would stop the server one day.
        let lines = self.log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                lines.lock().push(line);
            }
        });
        self.process = Some(process);
    }

    /// Kills it, as a crash or the kernel would.
    pub(crate) async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await.expect("killed");
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) {
        let id = self.process.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        let process = id.and_then(Pid::from_raw).expect("it runs");
        rustix::process::kill_process(process, Signal::HUP).expect("signalled");
    }

    pub(crate) fn address(&self) -> String {
        self.port.address.to_string()
    }

    /// Whether it has logged `text` since it was ready.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        !self.logged(text).is_empty()
    }

    /// The lines with `text` that it has logged since it was ready.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        self.log.lock().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub(crate) async fn publisher(&self) -> Publisher {
        let client = (self.options)().connect(self.address()).await.expect("nats-server answers");
        Publisher { jetstream: jetstream::new(client) }
    }
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
    envelope("events.SendSSE", &event)
}

/// An event of any type, as the platform's services put it on the bus.
pub(crate) fn envelope(event_type: &str, event: &Value) -> String {
    json!({
        "ID": "1", "Topic": "main-queue", "Payload": STANDARD.encode(event.to_string()),
        "Metadata": { "eventid": "1", "eventtype": event_type, "initiatorid": "", "traceparent": "" },
        "Timestamp": "2026-11-23T16:10:33.440899299Z",
    })
    .to_string()
}
