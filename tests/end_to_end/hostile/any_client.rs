//! Arbitrary clients that stop at arbitrary times harm no other client and leave nothing behind.
//!
//! The clients are generated from a seed; `SEED` in the environment sets another one. After a failure the clients are
//! reduced to the fewest and simplest that still cause it. With `SOAK` there are many more.

use std::{env, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use proptest::{
    strategy::{Strategy as _, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::task::JoinSet;

use super::{
    hostile_client::{HostileClient, hostile_client},
    instance::{DRAIN_TIMEOUT, Instance, LEEWAY, WRITE_TIMEOUT, within},
    script::USER,
};
use crate::{
    client::Stream,
    nats::{Nats, Publisher},
    service::token,
};

/// The number of hostile clients of one instance.
const CLIENTS: usize = 240;
/// The number of clients that send at the same time.
const BATCH: usize = 40;
const MAX_GROWTH: f64 = 48.0 * 1024.0 * 1024.0;
/// The limit of attempts to reduce the clients after a failure.
const MAX_REDUCTIONS: usize = 60;
/// The limit of clients in the report. More remain if they do not cause the failure every time.
const MAX_SHOWN: usize = 8;

/// The end of a test, after all clients have sent.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The deadlines of the clients pass before the service stops.
    Settle,
    /// The service stops at once.
    Stop,
}

/// A user whose stream stays open.
struct Witness {
    stream: Stream,
    publisher: Publisher,
    events: u32,
}

impl Witness {
    /// Checks that both servers answer and that the open stream gets a new event.
    async fn is_served(&mut self, instance: &Instance) -> Result<(), String> {
        self.events += 1;
        let event = self.events.to_string();
        let delivered = async {
            self.publisher.event(&["witness"], "t", &event).await;
            self.stream.content().await
        };
        let delivered = async {
            let content = within("an event on the open stream", LEEWAY, delivered).await?;
            if content == event { Ok(()) } else { Err(format!("event {content} arrived instead of {event}")) }
        };
        tokio::try_join!(delivered, instance.answers()).map(|_| ())
    }
}

/// Runs `clients` against an instance of their own. Returns the failure they cause.
async fn survive(nats: &Nats, clients: &[HostileClient], end_of_test: End) -> Result<(), String> {
    let settings = [("SSE_MAX_CONNECTIONS_PER_USER", "10000"), ("SSE_SEND_BUFFER", "16KiB")];
    let instance = Instance::start(nats, &settings).await;
    let headers = [("x-access-token", &*token("witness"))];
    let stream = Stream::open(instance.http, "/sse", &headers).await;
    let mut witness = Witness { stream, publisher: nats.publisher().await, events: 0 };
    witness.is_served(&instance).await?;
    let (base, resident) = (instance.idle_descriptors().await?, instance.resident_bytes().await?);

    let mut held = JoinSet::new();
    for batch in clients.chunks(BATCH) {
        let sent = join_all(batch.iter().map(|client| client.run(&instance)));
        let (sent, served) = tokio::join!(sent, witness.is_served(&instance));
        served?;
        for connection in sent.into_iter().flatten() {
            held.spawn(connection.hold());
        }
    }
    instance.is_quiet().await?;
    if let End::Settle = end_of_test {
        // Open streams may stay until they are ended. A stream can open late, behind other requests.
        let logouts = async {
            loop {
                witness.publisher.event(&[USER], "backchannel-logout", "{}").await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = logouts => {}
            returned = instance.descriptors_return_to(base) => returned?,
        }
        instance.is_quiet().await?;
        let after = instance.resident_bytes().await?;
        if after > resident + MAX_GROWTH {
            return Err(format!("{resident} bytes of memory became {after}"));
        }
        witness.is_served(&instance).await?;
    }
    instance.stop(DRAIN_TIMEOUT + WRITE_TIMEOUT).await
}

/// Runs [`survive`]; a panic is a failure as well.
async fn outcome(nats: &Nats, clients: &[HostileClient], end_of_test: End) -> Result<(), String> {
    let born = AssertUnwindSafe(survive(nats, clients, end_of_test)).catch_unwind();
    born.await.unwrap_or_else(|_| Err("a panic".to_owned()))
}

type Tree = Box<dyn ValueTree<Value = HostileClient>>;

fn present(trees: &[Tree]) -> Vec<HostileClient> {
    trees.iter().map(ValueTree::current).collect()
}

/// Reduces clients that cause a failure, first their number and then each of them.
async fn reduced(nats: &Nats, mut trees: Vec<Tree>, end_of_test: End) -> Vec<HostileClient> {
    let mut left = MAX_REDUCTIONS;
    let mut fails = async |clients: &[HostileClient]| {
        left = left.saturating_sub(1);
        left > 0 && outcome(nats, clients, end_of_test).await.is_err()
    };
    let mut part = trees.len().div_ceil(2);
    while part > 0 {
        let mut start = 0;
        while start < trees.len() {
            let end = (start + part).min(trees.len());
            let all = present(&trees);
            let others = [&all[..start], &all[end..]].concat();
            if fails(&others).await {
                trees.drain(start..end);
            } else {
                start = end;
            }
        }
        part /= 2;
    }
    let mut clients = present(&trees);
    for (n, mut tree) in trees.into_iter().enumerate() {
        let mut is_other = tree.simplify();
        while is_other {
            let mut simpler = clients.clone();
            simpler[n] = tree.current();
            is_other = if fails(&simpler).await {
                clients = simpler;
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
    }
    clients
}

/// Runs clients that are generated from `seed` against one instance.
async fn does_no_harm_with(seed: u64) {
    let nats = Nats::start().await;
    let end_of_test = if seed.is_multiple_of(2) { End::Settle } else { End::Stop };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let client = hostile_client();
    let trees: Vec<Tree> =
        (0..CLIENTS).map(|_| Box::new(client.new_tree(&mut runner).expect("a client")) as Tree).collect();
    let Err(first) = outcome(&nats, &present(&trees), end_of_test).await else { return };
    let clients = reduced(&nats, trees, end_of_test).await;
    let last = outcome(&nats, &clients, end_of_test).await;
    let count = clients.len();
    let shown: Vec<_> = clients.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
    let shown = shown.join("\n  ");
    panic!(
        "SEED={seed}, {end_of_test:?}: {first}; reduced to {count} clients, after which the outcome is {last:?}:\n  {shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn does_no_harm() {
    let first = env::var("SEED").map_or(4, |seed| seed.parse().expect("a number"));
    let (rounds, at_once) = if env::var_os("SOAK").is_some() { (50, 2) } else { (3, 2) };
    for round in 0..rounds {
        let seeds = (0..at_once).map(|n| first + round * at_once + n);
        join_all(seeds.map(does_no_harm_with)).await;
    }
}
