//! Streams that are handed over to another process of the service, which reads the same NATS.

mod batches;
mod bookmarks;
mod changes;
mod different_logs;
mod model;

use std::collections::BTreeMap;

use domain::type_filter::TypeFilter;
use ports::{
    inbound::{Adopt as _, ContinuedStream, SuspendedConnection},
    outbound::{Successor, SuccessorLost},
};
use tokio::sync::oneshot;

use super::{
    client::{continued, text},
    *,
};

const HISTORY_OFF: StreamPolicy =
    StreamPolicy { log: LogLimits { max_age: Duration::ZERO, ..POLICY.log }, ..POLICY };

/// A running process and its successor, with the same events.
struct Processes {
    old: Service,
    new: Service,
}

impl Processes {
    async fn start(policy: StreamPolicy) -> Self {
        Self { old: Service::start(policy).await, new: Service::start(policy).await }
    }

    async fn publish(&mut self, users: &[&str], content: &str) {
        self.publish_of(users, "t", content).await;
    }

    async fn publish_of(&mut self, users: &[&str], event_type: &str, content: &str) {
        for process in [&mut self.old, &mut self.new] {
            process.publish_of(users, event_type, content, Duration::ZERO);
        }
        run_until_idle().await;
    }

    async fn log_out_of(&mut self, name: &str, session: &str) {
        for process in [&mut self.old, &mut self.new] {
            process.log_out_of(name, session);
        }
        run_until_idle().await;
    }

    /// Applies a change of an account, a choice or the like to both processes.
    async fn receive(&self, event: impl Fn() -> SourceEvent) {
        self.old.receive(event());
        self.new.receive(event());
        run_until_idle().await;
    }

    /// Hands over all streams. Returns the clients as the new process serves them, by name.
    async fn hand_over(&self) -> Clients {
        let mut hand_over = HandOver::start(&self.old, usize::MAX);
        let mut clients = Clients::new();
        while let Some(batch) = hand_over.batch().await {
            clients.extend(self.new.adopt(batch.confirm()));
        }
        hand_over.result().await.expect("confirmed");
        clients
    }

    async fn stop(self) {
        self.old.stop().await;
        self.new.stop().await;
    }
}

/// Clients by the name with which they were opened.
type Clients = BTreeMap<String, Client>;
type SuspendedStreams = Vec<(ContinuedStream, SuspendedConnection)>;

fn only(clients: Clients) -> Client {
    let mut clients = clients.into_values();
    let client = clients.next().expect("a client");
    assert!(clients.next().is_none(), "one client only");
    client
}

/// A hand-over in progress, whose batches a test answers.
struct HandOver {
    batches: mpsc::UnboundedReceiver<Batch>,
    task: JoinHandle<Result<usize, SuccessorLost>>,
}

/// Streams that a process has suspended and handed over.
struct Batch {
    streams: SuspendedStreams,
    answer: oneshot::Sender<Result<(), SuccessorLost>>,
}

struct FakeSuccessor(mpsc::UnboundedSender<Batch>);

#[async_trait]
impl Successor for FakeSuccessor {
    async fn hand_over(&self, streams: SuspendedStreams) -> Result<(), SuccessorLost> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Batch { streams, answer }).expect("the test receives");
        answered.await.expect("an answer")
    }
}

impl HandOver {
    fn start(process: &Service, limit: usize) -> Self {
        let (successor, batches) = mpsc::unbounded_channel();
        let (subscriptions, successor) = (process.subscriptions.clone(), Arc::new(FakeSuccessor(successor)));
        let task = tokio::spawn(async move { subscriptions.hand_over(&successor, limit).await });
        Self { batches, task }
    }

    /// Starts the hand-over of all streams of the old process, which are one batch.
    async fn of_all(processes: &Processes) -> (Self, Batch) {
        let mut hand_over = Self::start(&processes.old, usize::MAX);
        let batch = hand_over.batch().await.expect("streams");
        (hand_over, batch)
    }

    /// Waits for the next batch. Returns none at the end of the hand-over.
    async fn batch(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    async fn result(self) -> Result<usize, SuccessorLost> {
        self.task.await.expect("no panic")
    }
}

impl Batch {
    fn names(&self) -> Vec<String> {
        self.streams.iter().map(|(_, connection)| text(&connection.unsent)).collect()
    }

    /// Confirms the batch. Its streams belong to the new process.
    fn confirm(self) -> SuspendedStreams {
        self.answer.send(Ok(())).expect("the process waits");
        self.streams
    }

    fn fail(self) {
        self.answer.send(Err(SuccessorLost { cause: "a test".into() })).expect("the process waits");
    }
}

impl Service {
    /// Opens a stream whose connection is recognized in the new process by the bytes that the kernel has not taken.
    fn open_named(&self, name: &str, request: StreamRequest) -> Client {
        let connection = Arc::new(FakeConnection::with_unsent(name.to_owned()));
        let subscription = self.subscriptions.subscribe(request, connection.clone()).expect("a stream");
        Client::new(subscription, connection)
    }

    /// Continues the streams of another process.
    fn adopt(&self, streams: SuspendedStreams) -> Clients {
        let adopt = |(stream, SuspendedConnection { unsent, .. })| {
            let connection = Arc::new(FakeConnection::with_unsent(unsent.clone()));
            let stream = self.subscriptions.adopt(stream, connection.clone());
            (text(&unsent), continued(stream, connection))
        };
        streams.into_iter().map(adopt).collect()
    }
}

/// Returns a name whose bytes fill a batch.
fn large_name(name: &str) -> String {
    format!("{name}{}", " ".repeat(5 << 20))
}

#[tokio::test(start_paused = true)]
async fn each_event_arrives_once_in_order() {
    for adopts_late in [false, true] {
        let mut processes = Processes::start(POLICY).await;
        for n in 1..=3 {
            processes.publish(&["a"], &large(n)).await;
        }
        let mut replays = processes.old.open_named("replays", after("a", id(0)));
        let (mut lags, mut reads) =
            (processes.old.open_named("lags", request("a")), processes.old.open_named("reads", request("a")));
        for n in 4..=6 {
            processes.publish(&["a"], &large(n)).await;
        }
        assert_eq!(replays.read_turn(), ["1"]);
        assert_eq!(lags.read_turn(), ["4"]);
        assert_eq!(reads.read(), ["4", "5", "6"]);
        let (mut hand_over, batch) = HandOver::of_all(&processes).await;
        assert_eq!(batch.names(), ["replays", "lags", "reads"], "in the order in which they were opened");
        processes.publish(&["a"], "7").await;
        for client in [&mut replays, &mut lags, &mut reads] {
            assert_eq!(client.read(), NOTHING, "a suspended connection takes nothing");
        }
        let streams = batch.confirm();
        if adopts_late {
            processes.publish(&["a"], "8").await;
        }
        let mut clients = processes.new.adopt(streams);
        if !adopts_late {
            processes.publish(&["a"], "8").await;
        }
        assert!(hand_over.batch().await.is_none());
        assert_eq!(hand_over.result().await, Ok(3));
        for (name, expected) in [
            ("replays", &["2", "3", "4", "5", "6", "7", "8"][..]),
            ("lags", &["5", "6", "7", "8"]),
            ("reads", &["7", "8"]),
        ] {
            assert_eq!(clients.get_mut(name).expect("handed over").read(), expected, "{name}");
        }
        for client in [replays, lags, reads] {
            assert!(client.connection.is_released());
        }
        processes.publish(&["a"], "9").await;
        for client in clients.values_mut() {
            assert_eq!(client.read(), ["9"]);
        }
        processes.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_continue_beyond_lower_limits() {
    let limits = StreamLimits { total: 2, per_user: 1 };
    let old = Service::start(POLICY).await;
    let mut metrics = plain_metrics();
    metrics.expect_delivered().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivery_completed().return_const(());
    metrics.expect_limit_reached().once().with(eq(domain::log::LimitReached::Total)).return_const(());
    metrics.expect_stream_closed().times(3).return_const(());
    let new = Service::start_with(StreamPolicy { limits, ..POLICY }, metrics, PLAIN_FRAMES).await;
    let mut processes = Processes { old, new };
    let clients = ["1", "2", "3"].map(|name| processes.old.open_named(name, request("a")));
    let mut continued = processes.hand_over().await;
    drop(clients);
    processes.publish(&["a"], "x").await;
    assert!(continued.len() == 3 && continued.values_mut().all(|client| client.read() == ["x"]));
    assert!(matches!(processes.new.try_open(request("b")).err(), Some(SubscribeError::TooMany { .. })));
    drop(continued);
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn opened_and_closed_streams_are_counted_in_both_processes() {
    let mut of_old = plain_metrics();
    let closed = |reason: &EndReason, open: &usize, users: &usize| {
        (*reason, *open, *users) == (EndReason::HandedOver, 0, 0)
    };
    of_old.expect_stream_closed().once().withf(closed).return_const(());
    let mut of_new = MockMetrics::new();
    of_new.expect_nats_connected().return_const(());
    of_new.expect_stream_opened().once().with(eq(1), eq(1)).return_const(());
    let closed = |reason: &EndReason, open: &usize, users: &usize| {
        (*reason, *open, *users) == (EndReason::Client, 0, 0)
    };
    of_new.expect_stream_closed().once().withf(closed).return_const(());
    let processes = Processes {
        old: Service::start_with(POLICY, of_old, PLAIN_FRAMES).await,
        new: Service::start_with(POLICY, of_new, PLAIN_FRAMES).await,
    };
    let Client { stream, connection, .. } = processes.old.open_named("a", request("a"));
    // The end of the connection here is not an end of the stream.
    connection.carry(stream);
    drop(processes.hand_over().await);
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn filter_of_types_moves_with_the_stream() {
    let mut processes = Processes::start(POLICY).await;
    let filter = TypeFilter::parse("wanted-*").expect("a filter");
    let client = processes.old.open_named("a", StreamRequest { types: Some(filter), ..request("a") });
    let mut continued = only(processes.hand_over().await);
    drop(client);
    processes.publish_of(&["a"], "other", "1").await;
    processes.publish_of(&["a"], "wanted-x", "2").await;
    assert_eq!(continued.read(), ["2"]);
    // The new process can hand it over as well.
    let Processes { old, new } = processes;
    let mut processes = Processes { old: new, new: old };
    let mut continued = only(processes.hand_over().await);
    processes.publish_of(&["a"], "other", "3").await;
    processes.publish_of(&["a"], "wanted-y", "4").await;
    assert_eq!(continued.read(), ["4"]);
    processes.stop().await;
}
