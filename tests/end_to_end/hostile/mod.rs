//! Hostile clients and invalid NATS messages do not affect other clients.
//!
//! The input is generated from a seed. `SEED` in the environment sets another one.

mod after_close;
mod any_client;
mod descriptors;
mod flow_control;
mod generator;
mod half_close;
mod hostile_client;
mod idle_connections;
mod instance;
mod malformed_requests;
mod request_head;
mod script;
mod shutdown;
mod throttled;
mod unread_answers;
mod user_limit;

use std::{collections::BTreeSet, net::SocketAddr, panic::AssertUnwindSafe};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use self::generator::{Generator, escaped};
use crate::{
    DEADLINE,
    client::{Stream, get},
    eventually, eventually_ok,
    nats::{Nats, Publisher, ReservedPort},
    program::{Program, server_with},
    service::{sample, token},
    transport::{Server, service_at, socket},
};

const VISITS: usize = 50;
const REQUESTS_OF_A_VISIT: usize = 6;
const MESSAGES: usize = 50;
const ATTACKS: u32 = 300;
/// After this many attacks the log of events is full, and the allocator's own memory has stabilized.
const WARM_UP: u32 = 60;

/// Input that is sent at the same time.
struct Attack {
    visits: Vec<Visit>,
    messages: Vec<Vec<u8>>,
}

/// Pipelined requests on one connection.
struct Visit {
    requests: Vec<Vec<u8>>,
    /// The client resets the connection without reading the responses.
    leaves_early: bool,
}

impl Attack {
    fn generate(generator: &mut Generator) -> Self {
        let visit = |generator: &mut Generator| Visit {
            requests: (0..=generator.up_to(REQUESTS_OF_A_VISIT)).map(|_| generator.request()).collect(),
            leaves_early: generator.once_in(8),
        };
        Self {
            visits: (0..VISITS).map(|_| visit(generator)).collect(),
            messages: (0..MESSAGES).map(|_| generator.message()).collect(),
        }
    }
}

impl Visit {
    async fn send(&self, service: Server) {
        let mut stream = service.connect().await.expect("connected");
        // The server can close the connection before it has read all requests.
        stream.write_all(&self.requests.concat()).await.ok();
        stream.flush().await.ok();
        if self.leaves_early {
            return socket(&stream).set_zero_linger().expect("set");
        }
        stream.shutdown().await.ok();
        let mut answers = Vec::new();
        let read = async {
            // No request behind an open stream is answered.
            while !String::from_utf8_lossy(&answers).contains("text/event-stream")
                && stream.read_buf(&mut answers).await.is_ok_and(|length| length > 0)
            {}
        };
        let in_time = tokio::time::timeout(DEADLINE, read).await;
        let (sent, answers) = (escaped(&self.requests), String::from_utf8_lossy(&answers));
        assert!(in_time.is_ok(), "no end of {answers} to\n{sent}");
        assert!(!answers.contains("HTTP/1.1 5"), "{answers} to\n{sent}");
    }
}

/// The service and a client whose stream stays open.
struct Scene {
    program: Program,
    http: Server,
    debug: SocketAddr,
    follower: Stream,
    publisher: Publisher,
}

impl Scene {
    /// Sends an attack and then an event for the follower, which gets this event and no other.
    async fn survives(&mut self, attack: &Attack, event: u32) {
        let visits = join_all(attack.visits.iter().map(|visit| visit.send(self.http)));
        let messages = async {
            for message in &attack.messages {
                let published = self.publisher.jetstream.publish("main-queue", message.clone().into());
                published.await.expect("published");
            }
            self.publisher.event(&["follower"], "t", &event.to_string()).await;
            assert_eq!(content(&mut self.follower).await, event.to_string());
        };
        let all = async { tokio::join!(visits, messages) };
        let survived = async {
            tokio::select! {
                // The log goes to a file, so only a panic writes to standard error.
                panic = self.program.error_line() => {
                    self.program.terminate();
                    panic!("{panic:?} {}", self.program.remaining_errors().await);
                }
                _ = all => {}
            }
        };
        if AssertUnwindSafe(survived).catch_unwind().await.is_err() {
            let visits: String = attack.visits.iter().map(|visit| escaped(&visit.requests) + "\n").collect();
            panic!("attack {event}: visits\n{visits}messages\n{}", escaped(&attack.messages));
        }
    }

    async fn has_connections(&self, streams: u64) {
        eventually("so many streams", async || sample::<u64>(self.debug, "sse_connections").await == streams)
            .await;
    }

    async fn resident(&self) -> f64 {
        sample(self.debug, "process_resident_memory_bytes").await
    }

    /// Checks that the attacks caused every kind of failure that the metrics count.
    async fn has_reached_every_outcome(&self) {
        let page = get(self.debug, "/metrics", &[]).await.body;
        let unreached: BTreeSet<_> = page
            .lines()
            // Tickets are off.
            .filter(|line| line.ends_with("} 0") && !line.contains("ticket_"))
            .filter(|line| {
                ["sse_auth_failures", "sse_events_received"].iter().any(|name| line.starts_with(name))
            })
            .collect();
        assert!(unreached.is_empty(), "{unreached:?}");
    }
}

/// Returns the data of the next event, after any keepalives.
async fn content(stream: &mut Stream) -> String {
    loop {
        let block = stream.next().await.expect("one more event");
        if let Some(content) = block.field("data") {
            return content;
        }
        assert_eq!(block.0, ": keepalive\n\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arbitrary_input_harms_no_other_client() {
    let seed = std::env::var("SEED").map_or(4, |seed| seed.parse().expect("a number"));
    let mut generator = Generator::new(seed);
    let nats = Nats::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("sse.log");
    let (http, debug) = (ReservedPort::any(), ReservedPort::any());
    let program = server_with(
        &nats,
        &[
            // The trace level logs most of the input.
            ("SSE_LOG_LEVEL", "trace"),
            ("SSE_LOG_FILE", log.to_str().expect("Unicode")),
            ("SSE_HTTP_ADDR", &http.address.to_string()),
            ("SSE_DEBUG_ADDR", &debug.address.to_string()),
            ("SSE_MAX_CONNECTIONS_PER_USER", "1000"),
            // The history and the bookmarks are full or expired when the memory is measured.
            ("SSE_HISTORY_MAX_BYTES", "64KiB"),
            ("SSE_RESUME_WINDOW", "1s"),
        ],
    );
    let (http, debug) = (service_at(http.address), debug.address);
    eventually("it listens", async || TcpStream::connect(debug).await.is_ok()).await;
    eventually("ready", async || get(debug, "/readyz", &[]).await.status == 200).await;
    let headers = [("x-access-token", &*token("follower"))];
    let follower = Stream::open(http, "/sse", &headers).await;
    let mut scene = Scene { program, http, debug, follower, publisher: nats.publisher().await };

    let mut before = 0.0;
    for attack in 0..ATTACKS {
        if attack == WARM_UP {
            scene.has_connections(1).await;
            before = scene.resident().await;
        }
        scene.survives(&Attack::generate(&mut generator), attack).await;
    }
    scene.has_reached_every_outcome().await;
    scene.has_connections(1).await;
    eventually_ok(async || {
        let after = scene.resident().await;
        (after < before * 1.1).then_some(()).ok_or_else(|| format!("{before} bytes became {after}"))
    })
    .await;

    let mut newcomer = Stream::open(http, "/sse", &headers).await;
    scene.publisher.event(&["follower"], "t", "at last").await;
    for stream in [&mut scene.follower, &mut newcomer] {
        assert_eq!(content(stream).await, "at last");
    }
    drop((scene.follower, newcomer));
    eventually("no stream", async || sample::<u64>(debug, "sse_connections").await == 0).await;
    scene.program.terminate();
    assert_eq!(scene.program.remaining_errors().await, "");
    assert_eq!(scene.program.status().await, Some(0));
}
