//! Take-overs: a new process continues the open streams of the running one, and their clients do not notice it.

mod faults;
mod refusals;

use std::path::PathBuf;

use hyper::Version;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    DEADLINE,
    browser::ResumeBy::{LastEventId, RequestId},
    chaos::Scene,
    client::{Stream, get, try_get},
    eventually,
    ledger::Ledger,
    nats::{Nats, ReservedPort},
    program::{Program, server_with_arguments, server_with_descriptors},
    service::{sample, token},
    tickets,
    transport::{self, Server},
};

/// The processes of a service that take over from each other.
struct Generations {
    nats: Nats,
    port: ReservedPort,
    directory: TempDir,
}

impl Generations {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { nats: Nats::start().await, port: ReservedPort::any(), directory }
    }

    fn service(&self) -> Server {
        transport::service_at(self.port.address)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("handover.sock")
    }

    /// Starts a process that takes over from the running one, if there is one.
    fn start(&self, settings: &[(&str, &str)]) -> Program {
        self.start_with(&[], settings)
    }

    fn start_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Program {
        let (address, socket) = (self.port.address.to_string(), self.socket());
        let socket = socket.to_str().expect("Unicode");
        let ours = [("SSE_HTTP_ADDR", &*address), ("SSE_HANDOVER_SOCKET", socket), ("SSE_TAKE_OVER", "true")];
        server_with_arguments(&self.nats, arguments, &[&ours, settings].concat())
    }

    /// Starts the first process and waits until it serves.
    async fn first(&self, settings: &[(&str, &str)]) -> Program {
        self.first_with(&[], settings).await
    }

    async fn first_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Program {
        let mut first = self.start_with(arguments, settings);
        let (_, debug) = first.logged_addresses().await;
        eventually("ready", async || get(debug, "/readyz", &[]).await.status == 200).await;
        first
    }

    /// Starts a process that takes over, with this limit of file descriptors.
    fn start_with_descriptors(&self, descriptors: u32) -> Program {
        let (address, socket) = (self.port.address.to_string(), self.socket());
        let socket = socket.to_str().expect("Unicode");
        let ours = [("SSE_HTTP_ADDR", &*address), ("SSE_HANDOVER_SOCKET", socket), ("SSE_TAKE_OVER", "true")];
        server_with_descriptors(&self.nats, descriptors, descriptors, &ours)
    }

    async fn follow_as_new_user(&self) -> Stream {
        self.follow(&uuid::Uuid::new_v4().to_string()).await
    }

    async fn follow(&self, user: &str) -> Stream {
        Stream::open(self.service(), "/sse", &[("x-access-token", &token(user))]).await
    }
}

/// Waits for this message in the log.
async fn logged(program: &mut Program, message: &str) -> Value {
    loop {
        let line = program.log_line().await;
        if line["message"] == message {
            return line;
        }
    }
}

/// Waits until `predecessor` has ended, and returns how many of its streams `successor` continues.
async fn taken_over(predecessor: &mut Program, successor: &mut Program) -> Value {
    let ended = logged(successor, "the previous process has ended").await;
    assert_eq!(predecessor.status().await, Some(0));
    ended["streams"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn take_overs_in_the_clear_are_not_noticed() {
    for resume_by in [LastEventId, RequestId] {
        let generations = Generations::new().await;
        let mut program = generations.first(&[]).await;
        let scene = Scene::open(&generations.nats.address(), generations.service(), resume_by).await;
        for _ in 0..scene.size.rounds {
            let take_overs = async {
                for _ in 0..10 {
                    let mut successor = generations.start(&[]);
                    assert_eq!(taken_over(&mut program, &mut successor).await, scene.size.streams);
                    program = successor;
                }
            };
            scene.round(take_overs).await;
            scene.check_ledgers(Ledger::holds_each_once).await;
        }
        assert_eq!((scene.gaps(), scene.ended()), (0, 0));
        program.terminate();
        assert_eq!(program.status().await, Some(0));
    }
}

/// The session in which a stream was opened decides which logout ends it.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_the_clear_are_handed_over() {
    let generations = Generations::new().await;
    let mut program = generations.first(tickets::ON).await;
    let service = generations.service();
    let [mut one, mut two] = [service.follow_in_session("1").await, service.follow_in_session("2").await];
    let mut successor = generations.start(tickets::ON);
    assert_eq!(taken_over(&mut program, &mut successor).await, 2);
    let publisher = generations.nats.publisher().await;
    tickets::log_out(&publisher, Some("1")).await;
    tickets::ends_at_logout(&mut one).await;
    publisher.event(&["einstein"], "t", "still here").await;
    assert!(two.content().await.contains("sessionid"));
    assert_eq!(two.content().await, "still here");
}

/// Over TLS and with HTTP/2, only the process itself can write to a stream, so that its streams end as without a take-over.
#[tokio::test(flavor = "multi_thread")]
async fn take_over_loses_no_event() {
    let generations = Generations::new().await;
    let mut program = generations.first(&[]).await;
    let mut successor = None;
    let scene = Scene::open(&generations.nats.address(), generations.service(), LastEventId).await;
    let take_over = async {
        taken_over(&mut program, successor.insert(generations.start(&[]))).await;
    };
    scene.round(take_over).await;
    scene.check_ledgers(Ledger::holds_each_once).await;
    let service = generations.service();
    let are_continued = !service.uses_tls() && service.version() == Version::HTTP_11;
    let ended = if are_continued { 0 } else { scene.size.streams as usize };
    assert_eq!((scene.gaps(), scene.ended()), (0, ended));
}

/// Opens a stream that is far behind when its client does not read: the kernel takes little for it.
async fn open_with_small_buffer(generations: &Generations, user: &str) -> Stream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let connection = generations.service().connect_by(socket).await.expect("connected");
    Stream::open_on(connection, generations.service(), "/sse", &[("x-access-token", &*token(user))]).await
}

const LARGE_EVENTS: usize = 200;

/// Reads all events of [`half_of_the_streams_lag_in_the_clear`], each once and in order.
async fn read_large_events(mut stream: Stream, bytes: usize) {
    for event in 0..LARGE_EVENTS {
        let content = stream.content().await;
        assert_eq!(content.split(' ').next(), Some(&*event.to_string()));
        assert_eq!(content.len(), event.to_string().len() + 1 + bytes);
    }
}

/// These clients read nothing before the third take-over: their streams are in the middle of a write and far behind, while the others
/// read everything at once.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_streams_lag_in_the_clear() {
    let pairs = if std::env::var_os("SOAK").is_some() { 200 } else { 10 };
    let settings = [
        ("SSE_WRITE_TIMEOUT", "10m"),
        ("SSE_TCP_USER_TIMEOUT", "10m"),
        ("SSE_MAX_CONNECTIONS_PER_USER", "1000"),
    ];
    let generations = Generations::new().await;
    let mut program = generations.first(&settings).await;
    let padding = "x".repeat(16 * 1024);
    let (mut lagging, mut reading) = (Vec::new(), JoinSet::new());
    for _ in 0..pairs {
        lagging.push(open_with_small_buffer(&generations, "einstein").await);
        reading.spawn(read_large_events(generations.follow("einstein").await, padding.len()));
    }
    let publisher = generations.nats.publisher().await;
    for part in 0..4 {
        let contents =
            (0..LARGE_EVENTS / 4).map(|event| format!("{} {padding}", part * LARGE_EVENTS / 4 + event));
        publisher.events(&["einstein"], "t", contents).await;
        if part < 3 {
            let mut successor = generations.start(&settings);
            assert_eq!(taken_over(&mut program, &mut successor).await, 2 * pairs);
            program = successor;
        }
    }
    reading.join_all().await;
    for stream in lagging {
        read_large_events(stream, padding.len()).await;
    }
}

/// What belongs to a stream besides its events: filter, language, end of its token.
#[tokio::test(flavor = "multi_thread")]
async fn stream_in_the_clear_keeps_its_properties() {
    let generations = Generations::new().await;
    let mut program = generations.first(&[]).await;
    let headers = [("x-access-token", &*token("einstein")), ("accept-language", "de, en;q=0.5")];
    let mut stream = Stream::open(generations.service(), "/sse?types=share-*", &headers).await;
    let mut successor = generations.start(&[]);
    let (_, debug) = successor.logged_addresses().await;
    assert_eq!(taken_over(&mut program, &mut successor).await, 1);
    assert_eq!(logged(&mut program, "stream ended").await["reason"], "handed_over");
    let publisher = generations.nats.publisher().await;
    publisher.event(&["einstein"], "item-renamed", "not asked for").await;
    publisher.event(&["einstein"], "share-created", "asked for").await;
    assert_eq!(stream.content().await, "asked for");
    eventually("one stream", async || sample::<u64>(debug, "sse_connections").await == 1).await;
    publisher.event(&["einstein"], "backchannel-logout", "{}").await;
    assert_eq!(stream.closing_comment().await, "the user has logged out");
    eventually("no stream", async || sample::<u64>(debug, "sse_connections").await == 0).await;
}

/// Ends a process that the test has not started.
struct Kill(Pid);

impl Drop for Kill {
    fn drop(&mut self) {
        kill_process(self.0, Signal::KILL).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signal_starts_a_successor_in_the_clear() {
    let generations = Generations::new().await;
    let mut running = generations.first(&[]).await;
    let mut stream = generations.follow("einstein").await;
    running.signal(Signal::USR2);
    let line = logged(&mut running, "another process takes over").await;
    let process = line["process"].as_i64().and_then(|process| i32::try_from(process).ok());
    let _successor = Kill(process.and_then(Pid::from_raw).expect("a process"));
    assert_eq!(running.status().await, Some(0));
    generations.nats.publisher().await.event(&["einstein"], "t", "from the successor").await;
    assert_eq!(stream.content().await, "from the successor");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_successor_changes_nothing() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let generations = Generations::new().await;
    let path = file.path().to_str().expect("Unicode");
    let mut running = generations.first_with(&["--config", path], &[]).await;
    let mut stream = generations.follow("einstein").await;
    std::fs::write(file.path(), "keepalive_interval: wrong").expect("written");
    running.signal(Signal::USR2);
    let warned = running.line_with("the successor has ended, this process continues").await;
    assert!(warned.contains("exit status: 64"), "{warned}");
    generations.nats.publisher().await.event(&["einstein"], "t", "still here").await;
    assert_eq!(stream.content().await, "still here");
}

/// A connection on which no request has arrived is accepted by one of the processes, whichever it is.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_never_refused() {
    let generations = Generations::new().await;
    let mut program = generations.first(&[]).await;
    let server = generations.service();
    let done = CancellationToken::new();
    let connecting = tokio::spawn({
        let done = done.clone();
        async move {
            while !done.is_cancelled() {
                TcpStream::connect(server.address).await.expect("never refused");
                // None if the process that has accepted the connection leaves before the request is there.
                timeout(DEADLINE, try_get(server, "/openapi.json")).await.expect("an answer or an end");
            }
        }
    });
    for _ in 0..3 {
        let mut successor = generations.start(&[]);
        taken_over(&mut program, &mut successor).await;
        program = successor;
    }
    done.cancel();
    connecting.await.expect("no connection was refused or forgotten");
    assert_eq!(get(server, "/openapi.json", &[]).await.status, 200);
}
