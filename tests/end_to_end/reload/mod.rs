//! SIGHUP: settings that can change without a restart change, and an error changes nothing.

mod changes;
mod errors;
mod signal;

use std::{fs, net::SocketAddr, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixDatagram;

use crate::{
    DEADLINE,
    client::{Stream, get},
    eventually,
    nats::Nats,
    program::{Program, server_with},
    service::token,
    transport::Server,
};

/// The message of each error in a configuration.
const INVALID: &str = "configuration error";
/// The message of the last line about a reload.
const RELOADED: &str = "configuration reloaded";
const NOT_RELOADED: &str = "configuration not reloaded, nothing changed";
/// The message about settings that need a restart.
const PENDING: &str = "changed settings that take effect after a restart";

/// A service with a configuration file.
struct Configured {
    directory: TempDir,
    program: Program,
    http: Server,
    debug: SocketAddr,
}

impl Configured {
    async fn start(nats: &Nats, file: &str) -> Self {
        Self::start_with(nats, file, &[]).await
    }

    async fn start_with(nats: &Nats, file: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("sse.yaml"), file).expect("written");
        let directory_path = directory.path().to_str().expect("Unicode").to_owned();
        // An empty variable selects the value of the file, or the default.
        let ours = [("OCIS_CONFIG_DIR", directory_path.as_str()), ("SSE_LOG_LEVEL", "")];
        let variables = [&ours, variables].concat();
        let mut program = server_with(nats, &variables);
        let (http, debug) = program.logged_addresses().await;
        Self { directory, program, http, debug }
    }

    /// Waits until the queue exists.
    async fn is_ready(&self) {
        eventually("ready", async || get(self.debug, "/readyz", &[]).await.status == 200).await;
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("sse.yaml")
    }

    /// Reloads with this text in the file. The last line that is returned has the result.
    async fn reload(&mut self, file: &str) -> Vec<Value> {
        fs::write(self.file(), file).expect("written");
        self.sighup().await
    }

    async fn sighup(&mut self) -> Vec<Value> {
        self.program.signal(Signal::HUP);
        let mut lines = Vec::new();
        loop {
            let line = self.program.error_line().await.expect("a line about the reload");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            let is_last = line["message"] == RELOADED || line["message"] == NOT_RELOADED;
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// Returns the next line of the log with this message.
    async fn logged(&mut self, message: &str) -> Value {
        loop {
            let line = self.program.log_line().await;
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Reloads with this valid text in the file, and returns the changes.
    async fn reloaded(&mut self, file: &str) -> String {
        let last = self.reload(file).await.pop().expect("a line");
        assert_eq!(last["message"], RELOADED, "{last}");
        last["changed"].as_str().expect("a text").to_owned()
    }

    /// Reloads an invalid configuration, and returns the errors.
    async fn rejected(&mut self) -> Vec<String> {
        let mut lines = self.sighup().await;
        let last = lines.pop().expect("a line");
        assert_eq!((&last["message"], &last["level"]), (&NOT_RELOADED.into(), &"error".into()));
        let lines = lines.iter().filter(|line| line["message"] == INVALID);
        let errors = lines.filter_map(|line| line["error"].as_str());
        let errors: Vec<_> = errors.map(|error| error.replace(&self.directory_path(), "DIR")).collect();
        assert_eq!(last["errors"], errors.len(), "each of them is named");
        errors
    }

    fn directory_path(&self) -> String {
        self.directory.path().display().to_string()
    }

    async fn follow(&self, user: &str) -> Stream {
        Stream::open(self.http, "/sse", &[("x-access-token", &token(user))]).await
    }

    /// Returns the status of a request that opens a stream if it is accepted.
    async fn status_of(&self, token: &str) -> u16 {
        get(self.http, "/sse", &[("x-access-token", token)]).await.status
    }
}

/// The service manager that a service notifies.
struct ServiceManager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl ServiceManager {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        Self { socket, directory }
    }

    /// Returns the value of `NOTIFY_SOCKET`.
    fn path(&self) -> String {
        self.directory.path().join("notify").to_str().expect("Unicode").to_owned()
    }

    async fn next_notification(&self) -> String {
        let mut buffer = [0; 128];
        let received = tokio::time::timeout(DEADLINE, self.socket.recv(&mut buffer)).await.expect("in time");
        String::from_utf8(buffer[..received.expect("a message")].to_vec()).expect("a text")
    }

    async fn is_notified(&self, state: &str) {
        while self.next_notification().await.trim() != state {}
    }
}
