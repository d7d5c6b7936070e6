//! Tests of the two sides with real Unix sockets.

mod faults;
mod socket_file;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use domain::{
    identity::{IssuedAt, UserId},
    log::Continuation,
    notification::{EventId, Incarnation},
    session::{SessionEnd, SessionState},
};
use ports::{
    inbound::{ContinuedStream, SuspendedConnection},
    outbound::{MAX_STREAMS, Successor as _},
};
use tempfile::TempDir;
use tokio::net::UnixStream;

use super::{
    channel::{Channel, Parcel},
    messages::{FORMAT, Message},
    *,
};

/// Time for what happens at once.
const SOON: Duration = Duration::from_secs(1);

/// Returns two connected channels.
pub(super) fn channels() -> (Channel, Channel) {
    let (first, second) = UnixStream::pair().expect("connected");
    (Channel::new(first).expect("the same user"), Channel::new(second).expect("the same user"))
}

/// A directory with a socket.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("handover.sock");
    (directory, path)
}

fn stream(user: &str) -> ContinuedStream {
    let continuation = Continuation {
        position: EventId { incarnation: Incarnation::of(1), sequence: 7 },
        gap: None,
        notes: Vec::new(),
        session: SessionState { silence: Duration::ZERO, end: None, reason: SessionEnd::TokenExpired },
        resumable: None,
        requested: None,
        language: None,
        issued_at: IssuedAt::UNKNOWN,
        session_id: None,
    };
    ContinuedStream { user: UserId::try_new(user).expect("a user id"), types: None, continuation }
}

fn connection(socket: OwnedFd, unsent: impl Into<Bytes>) -> SuspendedConnection {
    SuspendedConnection { socket, unsent: unsent.into(), is_chunked: true, excess_bytes: 3 }
}

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").expect("opened").into()
}

/// Returns the two ends of a TCP connection.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (client, listener.accept().expect("accepted").0)
}

/// Takes over up to the point at which streams are handed over. Returns both sides.
async fn take_over() -> (SuccessorProcess, Predecessor) {
    let (_directory, path) = place();
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    let predecessor = async {
        let successor = listener.accept().await;
        let answer = successor.offer("1.0", "token".into(), vec![("http", null())]).await.expect("ready");
        assert_eq!(answer, Answer { room: 10, reason: None });
        successor.proceed().await.expect("sent");
        successor
    };
    let successor = async {
        let (mut predecessor, offer) =
            Predecessor::ask(&path, "2.0").await.expect("asked").expect("a process");
        assert_eq!((&*offer.version, &*offer.token, offer.sockets.len()), ("1.0", "token", 1));
        predecessor.ready(10, None).await.expect("proceeds");
        predecessor
    };
    tokio::join!(predecessor, successor)
}

#[tokio::test(start_paused = true)]
async fn streams_move_with_their_sockets() {
    let (successor, mut predecessor) = take_over().await;
    assert_eq!((successor.process, &*successor.version), (Some(std::process::id()), "2.0"));
    let (mut client, socket) = tcp();
    let streams = vec![
        (stream("a"), connection(socket.into(), &b"unsent"[..])),
        (stream("b"), connection(null(), Bytes::new())),
    ];
    let taken = async {
        let received = predecessor.streams().await.expect("received").expect("streams");
        predecessor.confirm().await.expect("in time");
        received
    };
    let (handed_over, mut received) = tokio::join!(successor.hand_over(streams), taken);
    assert_eq!(handed_over, Ok(()));
    assert_eq!(received.len(), 2);
    let (of_a, SuspendedConnection { socket, unsent, is_chunked, excess_bytes }) = received.remove(0);
    assert_eq!((of_a, &*unsent, is_chunked, excess_bytes), (stream("a"), &b"unsent"[..], true, 3));
    assert_eq!((&received[0].0, received[0].1.unsent.len()), (&stream("b"), 0));
    TcpStream::from(socket).write_all(b"hello").expect("written");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("the end: no other process has the socket");
    assert_eq!(text, "hello");
    drop(successor);
    assert!(predecessor.streams().await.expect("the end").is_none());
}

#[tokio::test(start_paused = true)]
async fn largest_batches_move() {
    let (successor, mut predecessor) = take_over().await;
    for bytes in [0, 64 * 1024] {
        let streams = (0..MAX_STREAMS).map(|n| {
            let unsent = vec![b'x'; bytes];
            (stream(&n.to_string()), connection(null(), unsent))
        });
        let taken = async {
            let received = predecessor.streams().await.expect("received").expect("streams");
            predecessor.confirm().await.expect("in time");
            received
        };
        let (handed_over, received) = tokio::join!(successor.hand_over(streams.collect()), taken);
        assert_eq!(handed_over, Ok(()));
        let expected = (0..MAX_STREAMS).map(|n| stream(&n.to_string()));
        assert!(received.iter().map(|(stream, _)| stream.clone()).eq(expected));
        assert!(received.iter().all(|(_, connection)| connection.unsent.len() == bytes));
    }
}

/// A process with another format takes the listening sockets only.
#[tokio::test(start_paused = true)]
async fn another_format_continues_no_stream() {
    let (_directory, path) = place();
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    let mut newer =
        Channel::new(UnixStream::connect(&path).await.expect("connected")).expect("the same user");
    let request = Message::Request { format: FORMAT + 1, version: "9.0".into() };
    newer.send(&request.into(), SOON).await.expect("sent");
    let successor = listener.accept().await;
    newer.send(&Message::Ready { room: 5, reason: None }.into(), SOON).await.expect("sent");
    let answer = successor.offer("1.0", String::new(), Vec::new()).await.expect("ready");
    let reason = "it has version 9.0, with another format of streams".to_owned();
    assert_eq!(answer, Answer { room: 5, reason: Some(reason) });
}
