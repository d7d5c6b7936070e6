//! A body that is fed by hand, and a client on a real socket.
#![expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is asked")]

use std::{
    collections::HashSet,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake},
    thread::{self, ThreadId},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use parking_lot::{Condvar, Mutex};
use ports::outbound::HttpMetrics;
use socket2::SockRef;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    super::{
        ConnectionHandle, admission::Connections, excess_input::ExcessInput, streaming_body::StreamingBody,
    },
    Arrival, End, Inbox, Reactor, ReactorHandle, TURNS,
    connection::Connection,
};

const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a reactor counts.
#[derive(Default)]
struct Counts(Mutex<(usize, usize)>);

impl HttpMetrics for Counts {
    fn connection_accepted(&self, open: usize) {
        self.0.lock().0 = open;
    }

    fn connection_closed(&self, open: usize) {
        self.0.lock().0 = open;
    }

    fn connections_evicted(&self, _: usize) {}

    fn handshake_failed(&self) {}

    fn request_timed_out(&self) {}

    fn write_timed_out(&self) {
        self.0.lock().1 += 1;
    }

    fn answered(&self, _: &'static str, _: u16) {}
}

struct Fed(mpsc::UnboundedReceiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

/// A client whose connection was handed off with this body.
fn hand_off(inbox: &Inbox, body: BoxBody<Bytes, io::Error>, chunked: bool) -> (TcpStream, ConnectionHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    client.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
    let (socket, _) = listener.accept().expect("accepted");
    socket.set_nonblocking(true).expect("set");
    SockRef::from(&socket).set_send_buffer_size(4096).expect("set");
    let handle = ConnectionHandle::default();
    let body = StreamingBody::new(body, chunked);
    inbox.arrives(Arrival { socket, handle: handle.clone(), body, excess_input: ExcessInput::default() });
    (client, handle)
}

struct Scene {
    client: TcpStream,
    body: mpsc::UnboundedSender<Bytes>,
    handle: ConnectionHandle,
    inbox: Arc<Inbox>,
    counts: Arc<Counts>,
}

impl Scene {
    /// One connection, which was handed off with what is `waiting`.
    fn new(chunked: bool, waiting: &[&'static str]) -> Self {
        let counts = Arc::<Counts>::default();
        let connections = Connections::new(1000, counts.clone());
        connections.enter().hand_over();
        let reactor = Reactor::new(connections, WRITE_TIMEOUT).expect("a reactor");
        let inbox = reactor.inbox();
        let (body, fed) = mpsc::unbounded_channel();
        for text in waiting {
            body.send(Bytes::from_static(text.as_bytes())).expect("taken");
        }
        let (client, handle) = hand_off(&inbox, BoxBody::new(Fed(fed)), chunked);
        tokio::spawn(reactor.run());
        Self { client, body, handle, inbox, counts }
    }

    /// One connection whose client does not read, and for which more waits than it ever takes.
    async fn blocked() -> Self {
        let (scene, much) = (Self::new(false, &[]), Bytes::from(vec![b'x'; 1 << 20]));
        for _ in 0..1024 {
            scene.body.send(much.clone()).expect("taken");
        }
        scene.is_blocked().await;
        scene
    }

    async fn is_blocked(&self) {
        while !self.handle.is_blocked() {
            tokio::task::yield_now().await;
        }
    }

    fn reads(&mut self, expected: &str) {
        let mut read = vec![0; expected.len()];
        self.client.read_exact(&mut read).expect("so much");
        assert_eq!(String::from_utf8_lossy(&read), expected);
    }

    /// Reads to the end; true when that is clean.
    fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).is_ok()
    }

    /// Reads until more could be written.
    async fn takes_some(&mut self) {
        let before = self.handle.written();
        self.client.set_nonblocking(true).expect("set");
        while self.handle.written() == before && !self.handle.is_cut() {
            // There may be nothing to read for a moment.
            if let Ok(read) = self.client.read(&mut [0; 4096]) {
                assert_ne!(read, 0, "an end");
            }
            // The paused clock does not move while there is something to do.
            tokio::task::yield_now().await;
        }
    }

    fn counted(&self) -> (usize, usize) {
        *self.counts.0.lock()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_one_chunk_and_the_last_is_empty() {
    let mut scene = Scene::new(true, &["one", "two"]);
    scene.reads("6\r\nonetwo\r\n");
    scene.body.send(Bytes::from_static(b"0123456789abcdef")).expect("taken");
    scene.reads("10\r\n0123456789abcdef\r\n");
    let Scene { mut client, body, .. } = scene;
    drop(body);
    let mut rest = String::new();
    client.read_to_string(&mut rest).expect("a clean end");
    assert_eq!(rest, "0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_does_not_take_comes_later_in_order() {
    const LINES: u32 = 100_000;
    let mut scene = Scene::new(false, &[]);
    for n in 0..LINES {
        scene.body.send(format!("{n}\n").into()).expect("taken");
    }
    scene.is_blocked().await;
    for n in 0..LINES {
        scene.reads(&format!("{n}\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connection_ends_with_a_reset() {
    let mut scene = Scene::new(true, &["one"]);
    scene.reads("3\r\none\r\n");
    scene.handle.cut();
    assert!(!scene.ends());

    let mut scene = Scene::new(true, &["one"]);
    scene.reads("3\r\none\r\n");
    scene.inbox.ends(End::Now);
    assert!(!scene.ends());
}

#[tokio::test(flavor = "multi_thread")]
async fn body_is_dropped_when_its_client_closes() {
    let mut scene = Scene::new(true, &["one"]);
    scene.reads("3\r\none\r\n");
    scene.client.write_all(b"nobody has asked for this").expect("sent");
    scene.client.shutdown(Shutdown::Write).expect("shut");
    tokio::time::timeout(Duration::from_mins(1), scene.body.closed()).await.expect("in time");
}

/// Waits on the paused clock until the body is dropped, and returns how long that took.
async fn until_dropped(scene: &Scene) -> Duration {
    let began = tokio::time::Instant::now();
    tokio::time::timeout(10 * WRITE_TIMEOUT, scene.body.closed()).await.expect("in time");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_nothing_is_cut_in_time() {
    let mut scene = Scene::blocked().await;
    let took = until_dropped(&scene).await;
    assert!(took >= WRITE_TIMEOUT && took < WRITE_TIMEOUT + Duration::from_secs(1), "{took:?}");
    assert!(scene.handle.is_overdue());
    assert_eq!(scene.counted(), (0, 1));
    assert!(!scene.ends(), "a reset");
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_a_little_has_more_time() {
    let mut scene = Scene::blocked().await;
    for _ in 0..8 {
        tokio::time::sleep(WRITE_TIMEOUT / 2).await;
        scene.takes_some().await;
    }
    assert!(!scene.handle.is_cut());
    assert_eq!(scene.counted(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn end_is_not_deferred_by_a_client_that_takes_a_little() {
    let mut scene = Scene::blocked().await;
    scene.handle.finish();
    let began = tokio::time::Instant::now();
    while !scene.handle.is_cut() && began.elapsed() < 10 * WRITE_TIMEOUT {
        scene.takes_some().await;
        tokio::time::sleep(WRITE_TIMEOUT / 4).await;
    }
    assert!(began.elapsed() <= WRITE_TIMEOUT + WRITE_TIMEOUT / 4, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_close_is_closed_in_time() {
    let Scene { mut client, body, counts, handle, .. } = Scene::new(true, &["one"]);
    drop(body);
    let began = tokio::time::Instant::now();
    let open = || counts.0.lock().0;
    while open() > 0 && began.elapsed() < 10 * WRITE_TIMEOUT {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let took = began.elapsed();
    assert!(took >= WRITE_TIMEOUT && took <= WRITE_TIMEOUT + Duration::from_secs(2), "{took:?}");
    assert!(handle.is_overdue());
    // After a mere close the first write would still be taken.
    assert!(client.write(b"x").is_err(), "a reset");
}

/// A stream that had to wait at its opening has registered the task that served its request. Nothing holds that task when the reactor
/// has taken over, or its memory would stay for as long as the stream.
#[test]
fn task_that_has_handed_its_connection_off_is_released() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let (task, handle) = (Arc::new(Task), ConnectionHandle::default());
    handle.register(&Context::from_waker(&Arc::clone(&task).into()));
    assert_eq!(Arc::strong_count(&task), 2);
    handle.move_to_reactor(ReactorHandle::new(Arc::default(), 0));
    assert_eq!(Arc::strong_count(&task), 1);
}

/// There is one for each open stream. In a debug build the socket is larger.
#[test]
fn connection_takes_little_memory() {
    assert!(size_of::<Connection>() - size_of::<mio::net::TcpStream>() <= 48);
}

/// Connections of one reactor.
const CROWD: usize = 10 * TURNS;
/// The first write behind those, which lasts until all are ready.
const FIRST: usize = CROWD + 1;

/// What the bodies of a crowd know of each other.
#[derive(Default)]
struct Crowd {
    faulty: bool,
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    turns: usize,
    /// Everybody may have a turn.
    all: bool,
    by: HashSet<ThreadId>,
}

/// The body of one of them. It waits until another thread writes as well, and ends then; or it has a fault.
struct OneOf(Arc<Crowd>);

impl Body for OneOf {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Crowd { faulty, written, changed } = &*self.0;
        let mut written = written.lock();
        written.turns += 1;
        match written.turns {
            // Each has one when it comes.
            ..=CROWD => return Poll::Pending,
            FIRST => {
                changed.wait_while_for(&mut written, |written| !written.all, Duration::from_mins(1));
            }
            // When the reactor sees that there are many it has served a round of them.
            turn if turn <= FIRST + TURNS => {}
            _ => {
                assert!(!faulty, "a fault");
                written.by.insert(thread::current().id());
                changed.notify_all();
                let alone = |written: &mut Written| written.by.len() < 2;
                changed.wait_while_for(&mut written, alone, Duration::from_mins(1));
                assert!(written.by.len() > 1, "one thread writes to all");
            }
        }
        Poll::Ready(None)
    }
}

impl Crowd {
    /// Hands all off to a reactor and has them be ready at once.
    async fn gather(self) -> (Vec<TcpStream>, JoinHandle<()>) {
        let connections = Connections::new(1000, Arc::<Counts>::default());
        for _ in 0..CROWD {
            connections.enter().hand_over();
        }
        let reactor = Reactor::new(connections, WRITE_TIMEOUT).expect("a reactor");
        let inbox = reactor.inbox();
        let served = tokio::spawn(reactor.run());
        let crowd = Arc::new(self);
        let open = |_| hand_off(&inbox, BoxBody::new(OneOf(Arc::clone(&crowd))), true);
        let (clients, handles): (Vec<_>, Vec<_>) = (0..CROWD).map(open).unzip();
        crowd.have_had(CROWD).await;
        handles[0].wake();
        crowd.have_had(FIRST).await;
        handles[1..].iter().for_each(ConnectionHandle::wake);
        crowd.written.lock().all = true;
        crowd.changed.notify_all();
        (clients, served)
    }

    async fn have_had(&self, turns: usize) {
        while self.written.lock().turns < turns {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_is_written_to_by_several_threads() {
    let (clients, _served) = Crowd::default().gather().await;
    for mut client in clients {
        let mut end = String::new();
        client.read_to_string(&mut end).expect("a clean end");
        assert_eq!(end, "0\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_on_another_thread_is_the_reactors() {
    let (_clients, served) = Crowd { faulty: true, ..Crowd::default() }.gather().await;
    let ended = tokio::time::timeout(Duration::from_mins(1), served).await.expect("in time");
    assert!(ended.expect_err("a fault").is_panic());
}
