//! A body that is fed by hand, and a client on a real socket.

use std::{
    collections::HashSet,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::{self, ThreadId},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use parking_lot::{Condvar, Mutex};
use socket2::SockRef;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    super::{connection_handle::ConnectionHandle, excess_input::ExcessInput, streaming_body::StreamingBody},
    Arrival, End, Inbox, Reactor, TURNS,
    connection::Connection,
};

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

/// A client that has come to the lane with this body.
fn comes(inbox: &Inbox, body: BoxBody<Bytes, io::Error>, chunked: bool) -> (TcpStream, ConnectionHandle) {
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
}

impl Scene {
    /// One connection, which has come to the lane with what is `waiting`.
    fn new(chunked: bool, waiting: &[&'static str]) -> Self {
        let serves = Reactor::new().expect("a lane");
        let inbox = serves.inbox();
        let (body, fed) = mpsc::unbounded_channel();
        for text in waiting {
            body.send(Bytes::from_static(text.as_bytes())).expect("taken");
        }
        let (client, handle) = comes(&inbox, BoxBody::new(Fed(fed)), chunked);
        tokio::spawn(serves.run());
        Self { client, body, handle, inbox }
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
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_one_chunk_and_the_last_one_is_empty() {
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
async fn what_the_kernel_does_not_take_waits_and_comes_in_order() {
    const LINES: u32 = 100_000;
    let mut scene = Scene::new(false, &[]);
    for n in 0..LINES {
        scene.body.send(format!("{n}\n").into()).expect("taken");
    }
    while !scene.handle.is_blocked() {
        tokio::task::yield_now().await;
    }
    for n in 0..LINES {
        scene.reads(&format!("{n}\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_ends_with_a_reset_whatever_waits() {
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
async fn a_body_is_given_up_when_its_client_leaves() {
    let mut scene = Scene::new(true, &["one"]);
    scene.reads("3\r\none\r\n");
    scene.client.write_all(b"nobody has asked for this").expect("sent");
    scene.client.shutdown(Shutdown::Write).expect("shut");
    tokio::time::timeout(Duration::from_mins(1), scene.body.closed()).await.expect("in time");
}

/// There is one of it for each open stream. In a debug build the socket is larger.
#[test]
fn a_connection_takes_little_memory() {
    assert!(size_of::<Connection>() - size_of::<mio::net::TcpStream>() <= 48);
}

/// So many come to one lane.
const CROWD: usize = 10 * TURNS;
/// The first turn behind those, which lasts until all are ready.
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
            // When the lane sees that there are many it has served a round of them.
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
    /// Has all come to a lane, and be ready at once.
    async fn gather(self) -> (Vec<TcpStream>, JoinHandle<()>) {
        let lane = Reactor::new().expect("a lane");
        let inbox = lane.inbox();
        let served = tokio::spawn(lane.run());
        let crowd = Arc::new(self);
        let come = |_| comes(&inbox, BoxBody::new(OneOf(Arc::clone(&crowd))), true);
        let (clients, lines): (Vec<_>, Vec<_>) = (0..CROWD).map(come).unzip();
        crowd.have_had(CROWD).await;
        lines[0].wake();
        crowd.have_had(FIRST).await;
        lines[1..].iter().for_each(ConnectionHandle::wake);
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
async fn a_crowd_is_written_to_by_several_threads_when_nothing_more_comes() {
    let (clients, _served) = Crowd::default().gather().await;
    for mut client in clients {
        let mut end = String::new();
        client.read_to_string(&mut end).expect("a clean end");
        assert_eq!(end, "0\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_another_thread_meets_is_the_lanes() {
    let (_clients, served) = Crowd { faulty: true, ..Crowd::default() }.gather().await;
    let ended = tokio::time::timeout(Duration::from_mins(1), served).await.expect("in time");
    assert!(ended.expect_err("a fault").is_panic());
}
