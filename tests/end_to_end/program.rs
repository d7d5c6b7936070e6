//! The program as a process of its own.

use std::{collections::VecDeque, net::SocketAddr, os::fd::OwnedFd, process::Stdio};

use rustix::{
    fs::OFlags,
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
};

use crate::{
    DEADLINE,
    nats::Nats,
    service::SECRET,
    transport::{self, Server},
};

/// The running program, which is killed on drop.
pub(crate) struct Program {
    child: Child,
    /// None if the program has something else as its standard output.
    output: Option<Lines<BufReader<ChildStdout>>>,
    errors: Lines<BufReader<ChildStderr>>,
    /// The log lines before the one with the addresses. NATS can be connected earlier.
    before_addresses: VecDeque<String>,
}

impl Program {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ocis-sse"));
        Self::start_by(command.args(arguments).stdout(Stdio::piped()), environment)
    }

    /// Starts a program that is the service, or replaces itself with it (`exec`).
    fn start_by(command: &mut Command, environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .env_clear()
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let output = child.stdout.take().map(|output| BufReader::new(output).lines());
        let errors = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, output, errors, before_addresses: VecDeque::new() }
    }

    /// Returns the next line of standard output, with its line break.
    pub(crate) async fn line(&mut self) -> String {
        let output = self.output.as_mut().expect("piped");
        let line = tokio::time::timeout(DEADLINE, output.next_line()).await.expect("a line in time");
        line.expect("readable").map(|line| line + "\n").expect("one more line")
    }

    /// Returns the next line of standard error.
    pub(crate) async fn error_line(&mut self) -> Option<String> {
        match self.before_addresses.pop_front() {
            Some(line) => Some(line),
            None => self.next_error_line().await,
        }
    }

    async fn next_error_line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(DEADLINE, self.errors.next_line()).await.expect("a line in time");
        line.expect("readable")
    }

    /// Reduces the pipe of standard error to the kernel's minimum, a page. All that was written must have been read.
    pub(crate) fn shrink_log_pipe(&mut self) {
        fcntl_setpipe_size(self.errors.get_mut().get_ref(), 1).expect("a smaller pipe");
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the process and waits for its end.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("it runs"), signal).expect("signalled");
    }

    /// Returns whether the process has a handler for the signal.
    pub(crate) fn catches(&self, signal: Signal) -> bool {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("readable");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("the signals");
        let caught = u64::from_str_radix(caught.trim(), 16).expect("a set");
        caught & (1 << (signal.as_raw() - 1)) != 0
    }

    /// Returns whether children of the process do not inherit this descriptor (`O_CLOEXEC`).
    pub(crate) fn closes_on_exec(&self, descriptor: u32) -> bool {
        let id = self.child.id().expect("it runs");
        let information = std::fs::read_to_string(format!("/proc/{id}/fdinfo/{descriptor}")).expect("open");
        let flags = information.lines().find_map(|line| line.strip_prefix("flags:")).expect("the flags");
        u32::from_str_radix(flags.trim(), 8).expect("octal") & OFlags::CLOEXEC.bits() != 0
    }

    /// Returns the memory that the process itself has written to, in KiB: without the program and its libraries.
    pub(crate) fn heap_kib(&self) -> usize {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("readable");
        let heap = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the memory");
        heap.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub(crate) async fn status(&mut self) -> Option<i32> {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("an end in time")
            .expect("an end")
            .code()
    }

    /// Returns the rest of standard error.
    pub(crate) async fn remaining_errors(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.error_line().await {
            lines.push(line);
        }
        lines.join("\n")
    }

    /// Returns the next line of standard error with this text.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.error_line().await.expect("one more line");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Returns the next line of the log.
    pub(crate) async fn log_line(&mut self) -> serde_json::Value {
        let line = self.error_line().await.expect("one more line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Returns the addresses of the public server and the debug server from the log.
    pub(crate) async fn logged_addresses(&mut self) -> (Server, SocketAddr) {
        loop {
            let text = self.next_error_line().await.expect("a line with the addresses");
            let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            if line["message"] == "listening" {
                let address = |name: &str| line[name].as_str().expect("a text").parse().expect("an address");
                return (transport::service_at(address("address")), address("debug"));
            }
            self.before_addresses.push_back(text);
        }
    }
}

fn environment(nats: &Nats) -> Vec<(String, String)> {
    let ours = [
        ("OCIS_JWT_SECRET", SECRET),
        ("SSE_HTTP_ADDR", "127.0.0.1:0"),
        ("SSE_DEBUG_ADDR", "127.0.0.1:0"),
        ("SSE_LOG_LEVEL", "info"),
        ("SSE_DRAIN_TIMEOUT", "1s"),
        ("OCIS_EVENTS_ENDPOINT", &nats.address()),
    ];
    let ours = ours.iter().chain(transport::settings());
    ours.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn server(nats: &Nats) -> Program {
    server_with(nats, &[])
}

pub(crate) fn server_with(nats: &Nats, settings: &[(&str, &str)]) -> Program {
    server_with_arguments(nats, &[], settings)
}

pub(crate) fn server_with_arguments(nats: &Nats, arguments: &[&str], settings: &[(&str, &str)]) -> Program {
    let environment = environment(nats);
    let environment = environment.iter().map(|(name, value)| (&**name, &**value));
    Program::start(
        &[&["server"], arguments].concat(),
        &environment.chain(settings.iter().copied()).collect::<Vec<_>>(),
    )
}

/// Starts the service with these limits of file descriptors, of which it may raise the soft one up to `hard`.
pub(crate) fn server_with_descriptors(
    nats: &Nats,
    soft: u32,
    hard: u32,
    settings: &[(&str, &str)],
) -> Program {
    let environment = environment(nats);
    let environment = environment.iter().map(|(name, value)| (&**name, &**value));
    let environment: Vec<_> = environment.chain(settings.iter().copied()).collect();
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$0\" server");
    Program::start_by(shell(&script).stdout(Stdio::piped()), &environment)
}

/// Starts the service with up to two sockets, as a service manager passes them (`sd_listen_fds(3)`): `names` is `LISTEN_FDNAMES`.
pub(crate) fn server_with_sockets(
    nats: &Nats,
    sockets: Vec<OwnedFd>,
    names: &str,
    settings: &[(&str, &str)],
) -> Program {
    let environment = environment(nats);
    let environment = environment.iter().map(|(name, value)| (&**name, &**value));
    let count = sockets.len().to_string();
    let passed = [("LISTEN_FDS", &*count), ("LISTEN_FDNAMES", names)];
    let environment: Vec<_> = environment.chain(passed).chain(settings.iter().copied()).collect();
    // A test cannot choose the number of a child's descriptor, except by its standard input and output. The shell moves them.
    let mut shell = shell(
        "export LISTEN_PID=\"${LISTEN_PID:-$$}\"; exec 3<&0 4<&1 </dev/null >/dev/null; exec \"$0\" server",
    );
    let mut sockets = sockets.into_iter();
    shell.stdin(sockets.next().map_or_else(Stdio::null, Stdio::from));
    shell.stdout(sockets.next().map_or_else(Stdio::null, Stdio::from));
    Program::start_by(&mut shell, &environment)
}

/// Returns a shell that runs `script`, with the service as `$0`.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_ocis-sse")]);
    command
}
