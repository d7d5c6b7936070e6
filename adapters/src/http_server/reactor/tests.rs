//! Tests of the reactor with bodies from a channel and clients on real sockets.
#![expect(clippy::disallowed_methods, reason = "reads the runtime's paused clock")]

mod crowd;
mod encrypted;
mod suspension;

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use parking_lot::Mutex;
use ports::outbound::HttpMetrics;
use socket2::SockRef;
use tokio::sync::mpsc;

use super::{
    super::{
        ConnectionHandle, admission::Connections, excess_input::ExcessInput, streaming_body::StreamingBody,
        tls::Session,
    },
    CONNECTIONS_PER_ROUND, Inbox, NewConnection, Reactor, ReactorHandle, ShutdownMode,
    connection::Connection,
};

const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Metrics that record the number of open connections and of write timeouts.
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

/// A body whose pieces come from a channel.
struct ChannelBody(mpsc::UnboundedReceiver<Bytes>);

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

/// Hands off a connection with this body and returns its client.
fn hand_off(inbox: &Inbox, body: BoxBody<Bytes, io::Error>, chunked: bool) -> (TcpStream, ConnectionHandle) {
    hand_off_with(inbox, None, |_| body, chunked)
}

/// Hands off a connection with the body that `body` returns for its handle, and returns its client.
fn hand_off_with(
    inbox: &Inbox,
    session: Option<Box<Session>>,
    body: impl FnOnce(&ConnectionHandle) -> BoxBody<Bytes, io::Error>,
    chunked: bool,
) -> (TcpStream, ConnectionHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    client.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
    let (socket, _) = listener.accept().expect("accepted");
    socket.set_nonblocking(true).expect("set");
    SockRef::from(&socket).set_send_buffer_size(4096).expect("set");
    let handle = ConnectionHandle::default();
    let body = StreamingBody::new(body(&handle), chunked);
    inbox.hand_off(NewConnection {
        socket,
        session,
        handle: handle.clone(),
        body,
        unsent: Bytes::new(),
        excess_input: ExcessInput::default(),
    });
    (client, handle)
}

/// A reactor with one connection.
struct Fixture {
    client: TcpStream,
    body: mpsc::UnboundedSender<Bytes>,
    handle: ConnectionHandle,
    inbox: Arc<Inbox>,
    counts: Arc<Counts>,
}

impl Fixture {
    /// Hands off a connection whose body already has the pieces `waiting`.
    fn new(chunked: bool, waiting: &[&'static str]) -> Self {
        let counts = Arc::<Counts>::default();
        let connections = Connections::new(1000, counts.clone());
        connections.enter().hand_over();
        let reactor = Reactor::new(connections, WRITE_TIMEOUT).expect("a reactor");
        let inbox = reactor.inbox();
        let (body, receiver) = mpsc::unbounded_channel();
        for text in waiting {
            body.send(Bytes::from_static(text.as_bytes())).expect("taken");
        }
        let (client, handle) = hand_off(&inbox, BoxBody::new(ChannelBody(receiver)), chunked);
        tokio::spawn(reactor.run());
        Self { client, body, handle, inbox, counts }
    }

    /// Hands off a connection whose client does not read and whose body has more bytes than any buffer.
    async fn blocked() -> Self {
        let (fixture, large) = (Self::new(false, &[]), Bytes::from(vec![b'x'; 1 << 20]));
        for _ in 0..1024 {
            fixture.body.send(large.clone()).expect("taken");
        }
        fixture.is_blocked().await;
        fixture
    }

    async fn is_blocked(&self) {
        while !self.handle.is_blocked() {
            tokio::task::yield_now().await;
        }
    }

    fn expect_bytes(&mut self, expected: &str) {
        let mut read = vec![0; expected.len()];
        self.client.read_exact(&mut read).expect("so much");
        assert_eq!(String::from_utf8_lossy(&read), expected);
    }

    /// Reads to the end, and returns whether it is a clean end.
    fn ends_cleanly(&mut self) -> bool {
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).is_ok()
    }

    /// Reads until the reactor could write more.
    async fn read_until_progress(&mut self) {
        let before = self.handle.written();
        self.client.set_nonblocking(true).expect("set");
        while self.handle.written() == before && !self.handle.is_cut() {
            // The client's receive buffer may be empty for a moment.
            if let Ok(read) = self.client.read(&mut [0; 4096]) {
                assert_ne!(read, 0, "an end");
            }
            // The paused clock does not advance while this task is ready.
            tokio::task::yield_now().await;
        }
    }

    /// Returns the number of open connections and of write timeouts.
    fn counts(&self) -> (usize, usize) {
        *self.counts.0.lock()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_pieces_are_one_chunk() {
    let mut fixture = Fixture::new(true, &["one", "two"]);
    fixture.expect_bytes("6\r\nonetwo\r\n");
    fixture.body.send(Bytes::from_static(b"0123456789abcdef")).expect("taken");
    fixture.expect_bytes("10\r\n0123456789abcdef\r\n");
    let Fixture { mut client, body, .. } = fixture;
    drop(body);
    let mut rest = String::new();
    client.read_to_string(&mut rest).expect("a clean end");
    assert_eq!(rest, "0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_bytes_are_written_later_in_order() {
    const LINES: u32 = 100_000;
    let mut fixture = Fixture::new(false, &[]);
    for n in 0..LINES {
        fixture.body.send(format!("{n}\n").into()).expect("taken");
    }
    fixture.is_blocked().await;
    for n in 0..LINES {
        fixture.expect_bytes(&format!("{n}\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connection_is_reset() {
    let mut fixture = Fixture::new(true, &["one"]);
    fixture.expect_bytes("3\r\none\r\n");
    fixture.handle.cut();
    assert!(!fixture.ends_cleanly());

    let mut fixture = Fixture::new(true, &["one"]);
    fixture.expect_bytes("3\r\none\r\n");
    fixture.inbox.shut_down(ShutdownMode::Now);
    assert!(!fixture.ends_cleanly());
}

#[tokio::test(flavor = "multi_thread")]
async fn body_is_dropped_when_the_client_closes() {
    let mut fixture = Fixture::new(true, &["one"]);
    fixture.expect_bytes("3\r\none\r\n");
    fixture.client.write_all(b"unexpected input").expect("sent");
    fixture.client.shutdown(Shutdown::Write).expect("shut");
    tokio::time::timeout(Duration::from_mins(1), fixture.body.closed()).await.expect("in time");
}

/// Waits on the paused clock until the body is dropped, and returns the elapsed time.
async fn until_dropped(fixture: &Fixture) -> Duration {
    let start = tokio::time::Instant::now();
    tokio::time::timeout(10 * WRITE_TIMEOUT, fixture.body.closed()).await.expect("in time");
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn client_that_takes_nothing_is_cut() {
    let mut fixture = Fixture::blocked().await;
    let elapsed = until_dropped(&fixture).await;
    assert!(elapsed >= WRITE_TIMEOUT && elapsed < WRITE_TIMEOUT + Duration::from_secs(1), "{elapsed:?}");
    assert!(fixture.handle.has_timed_out());
    assert_eq!(fixture.counts(), (0, 1));
    assert!(!fixture.ends_cleanly(), "a reset");
}

#[tokio::test(start_paused = true)]
async fn progress_extends_the_write_timeout() {
    let mut fixture = Fixture::blocked().await;
    for _ in 0..8 {
        tokio::time::sleep(WRITE_TIMEOUT / 2).await;
        fixture.read_until_progress().await;
    }
    assert!(!fixture.handle.is_cut());
    assert_eq!(fixture.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn progress_does_not_extend_the_end() {
    let mut fixture = Fixture::blocked().await;
    fixture.handle.finish();
    let start = tokio::time::Instant::now();
    while !fixture.handle.is_cut() && start.elapsed() < 10 * WRITE_TIMEOUT {
        fixture.read_until_progress().await;
        tokio::time::sleep(WRITE_TIMEOUT / 4).await;
    }
    assert!(start.elapsed() <= WRITE_TIMEOUT + WRITE_TIMEOUT / 4, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_close_is_reset() {
    let Fixture { mut client, body, counts, handle, .. } = Fixture::new(true, &["one"]);
    drop(body);
    let start = tokio::time::Instant::now();
    let open = || counts.0.lock().0;
    while open() > 0 && start.elapsed() < 10 * WRITE_TIMEOUT {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= WRITE_TIMEOUT && elapsed <= WRITE_TIMEOUT + Duration::from_secs(2), "{elapsed:?}");
    assert!(handle.has_timed_out());
    // After a close without a reset the first write would still succeed.
    assert!(client.write(b"x").is_err(), "a reset");
}

/// While a stream waits for its start, the task that served its request is registered. After the handoff nothing may hold that task,
/// because its memory would live as long as the stream.
#[test]
fn task_is_released_after_the_handoff() {
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

/// Each open stream has one. In a debug build mio's socket is larger.
#[test]
fn connection_takes_little_memory() {
    assert!(size_of::<Connection>() - size_of::<mio::net::TcpStream>() <= 48);
}
