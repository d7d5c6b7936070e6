//! A body that is fed by hand, and a client on a real socket.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use socket2::SockRef;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    super::{endless::Endless, line::Line, unasked::Unasked},
    Arrival, Lane,
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

struct Scene {
    client: TcpStream,
    body: mpsc::UnboundedSender<Bytes>,
    line: Line,
    abort: CancellationToken,
}

impl Scene {
    /// One connection, which has come to the lane with what is `waiting`.
    fn new(chunked: bool, waiting: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        client.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
        let (socket, _) = listener.accept().expect("accepted");
        socket.set_nonblocking(true).expect("set");
        SockRef::from(&socket).set_send_buffer_size(4096).expect("set");
        let (body, fed) = mpsc::unbounded_channel();
        for text in waiting {
            body.send(Bytes::from_static(text.as_bytes())).expect("taken");
        }
        let (serves, line) = (Lane::new().expect("a lane"), Line::default());
        let endless = Endless::new(BoxBody::new(Fed(fed)), chunked);
        let arrival = Arrival { socket, line: line.clone(), body: endless, unasked: Unasked::default() };
        serves.inbox().arrives(arrival);
        let abort = CancellationToken::new();
        tokio::spawn(serves.run(CancellationToken::new(), abort.clone()));
        Self { client, body, line, abort }
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
    while !scene.line.is_blocked() {
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
    scene.line.cut();
    assert!(!scene.ends());

    let mut scene = Scene::new(true, &["one"]);
    scene.reads("3\r\none\r\n");
    scene.abort.cancel();
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
