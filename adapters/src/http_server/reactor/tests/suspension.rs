//! Connections that are suspended, and that another reactor continues, as one of another process would.

mod fixture;
mod moving;

use std::{io::ErrorKind, iter, vec};

use ports::inbound::SuspendedConnection;
use tokio::sync::oneshot;

use self::fixture::{Server, Stream, suspend};
use super::{super::super::Adoption, *};

fn frames(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

/// Decodes a whole body in chunked transfer coding (RFC 9112, 7.1).
fn decode(mut bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n").expect("a chunk size");
        let size = std::str::from_utf8(&bytes[..line]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size:?} is no chunk size"));
        let (data, rest) = bytes[line + 2..].split_at(size);
        decoded.extend_from_slice(data);
        bytes = rest.strip_prefix(b"\r\n").expect("the end of a chunk");
        if size == 0 {
            assert!(bytes.is_empty(), "bytes after the last chunk");
            return decoded;
        }
    }
}

#[tokio::test]
async fn suspended_connection_takes_and_writes_nothing() {
    let server = Server::start();
    let mut stream = server.open(true).await;
    let suspended = suspend(&stream.handle).await.expect("suspended");
    assert!(suspended.unsent.is_empty() && suspended.is_chunked && suspended.excess_bytes == 0);
    stream.push(frames(&["one"]));
    server.catches_up().await;
    let mut received = Vec::new();
    stream.read_arrived(100, &mut received);
    assert_eq!((received.len(), stream.log.untaken()), (0, 1));
    drop(suspended);
    stream.handle.connection().resume();
    stream.end();
    stream.read_to_end(&mut received).await;
    assert_eq!(received, b"3\r\none\r\n0\r\n\r\n");
}

/// The kernel has taken a part of a chunk, and the turn has more frames than one write.
#[tokio::test]
async fn unsent_bytes_belong_to_the_suspended_connection() {
    for is_resumed in [false, true] {
        let (old, new) = (Server::start(), Server::start());
        let mut stream = old.open(true).await;
        let first = Bytes::from(vec![b'x'; 1 << 20]);
        stream.push(iter::once(first.clone()).chain((0..500).map(|n| n.to_string().into())));
        stream.is_blocked().await;
        stream.push(frames(&["later"]));
        let suspended = suspend(&stream.handle).await.expect("suspended");
        assert_eq!(stream.log.untaken(), 1, "what the stream has not taken stays");
        assert!(suspended.unsent.len() > 1000 && suspended.unsent.len() < 1 << 20);
        if is_resumed {
            stream.handle.connection().resume();
        } else {
            let handle = new.adopt(suspended, &stream.log).await;
            stream.handle.connection().release();
            stream.handle = handle;
        }
        stream.end();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await;
        let rest: String = (0..500).map(|n| n.to_string()).chain(["later".into()]).collect();
        assert!(decode(&received) == [&first[..], rest.as_bytes()].concat(), "byte for byte");
    }
}

#[tokio::test]
async fn ending_connection_is_not_suspended() {
    let server = Server::start();
    let mut finishing = server.open(true).await;
    finishing.handle.finish();
    let mut ended = server.open(true).await;
    ended.end();
    // A client that does not close keeps its connection lingering.
    let mut received = Vec::new();
    ended.read_to_end(&mut received).await;
    for stream in [&finishing, &ended] {
        assert!(suspend(&stream.handle).await.is_none());
        assert!(!stream.handle.is_suspended());
    }
    finishing.push(frames(&["last"]));
    finishing.end();
    let mut received = Vec::new();
    finishing.read_to_end(&mut received).await;
    assert_eq!(received, b"4\r\nlast\r\n0\r\n\r\n");
    let cut = server.open(true).await;
    cut.handle.cut();
    assert!(suspend(&cut.handle).await.is_none());
}

/// The end of the body comes with the frames that were taken already.
#[tokio::test]
async fn connection_whose_body_ends_meanwhile_is_not_suspended() {
    struct Ending(vec::IntoIter<Bytes>, bool);
    impl Body for Ending {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            // Pending for the handoff.
            if std::mem::replace(&mut self.1, true) {
                Poll::Ready(self.0.next().map(|frame| Ok(Frame::data(frame))))
            } else {
                Poll::Pending
            }
        }
    }
    let (server, mut reactor) = Server::stopped();
    server.adoption.connections.enter().hand_over();
    let body = |_: &ConnectionHandle| BoxBody::new(Ending(frames(&["the", "end"]).into_iter(), false));
    let (mut client, handle) = hand_off_with(&server.adoption.inbox, None, body, true);
    let incoming = server.adoption.inbox.take();
    reactor.merge(incoming);
    reactor.run_round().await.expect("served");
    let suspended = {
        let (reply, suspended) = oneshot::channel();
        handle.connection().suspend(Box::new(|suspended| drop(reply.send(suspended))));
        tokio::spawn(reactor.run());
        suspended.await.expect("called once")
    };
    assert!(suspended.is_none() && !handle.is_suspended());
    client.set_nonblocking(false).expect("set");
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        client.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(read.await.expect("no panic").expect("a clean end"), "6\r\ntheend\r\n0\r\n\r\n");
}

#[tokio::test]
async fn connection_outside_of_the_reactor_is_not_suspended() {
    assert!(suspend(&ConnectionHandle::default()).await.is_none());
}

#[tokio::test]
async fn client_that_closes_while_suspended_is_noticed() {
    let server = Server::start();
    let stream = server.open(true).await;
    let suspended = suspend(&stream.handle).await.expect("suspended");
    let Stream { client, handle, log } = stream;
    drop(client);
    while log.bodies() > 0 {
        tokio::task::yield_now().await;
    }
    // Its place belongs to another connection by now, which must not notice what happens to the old one.
    let mut next = server.open(false).await;
    server.catches_up().await;
    let open = server.open_connections();
    handle.connection().resume();
    handle.connection().release();
    assert!(suspend(&handle).await.is_none());
    server.catches_up().await;
    assert!(server.open_connections() >= open, "only the connections of this test have ended");
    next.push(frames(&["still open"]));
    next.end();
    let mut received = Vec::new();
    next.read_to_end(&mut received).await;
    assert_eq!(received, b"still open");
    // The process that continues it notices the same.
    let new = Server::start();
    new.adopt(suspended, &log).await;
    while log.bodies() > 0 {
        tokio::task::yield_now().await;
    }
    new.catches_up().await;
}

#[tokio::test(start_paused = true)]
async fn suspended_connection_has_no_deadline() {
    let server = Server::start();
    let stream = server.open(false).await;
    stream.push(vec![Bytes::from(vec![b'x'; 4 << 20])]);
    stream.is_blocked().await;
    let suspended = suspend(&stream.handle).await.expect("suspended");
    tokio::time::sleep(10 * WRITE_TIMEOUT).await;
    assert!(!stream.handle.is_cut() && stream.log.bodies() == 1);
    drop(suspended);
    stream.handle.connection().resume();
    tokio::time::sleep(WRITE_TIMEOUT / 2).await;
    assert!(!stream.handle.is_cut(), "the client has the whole time again");
    tokio::time::sleep(WRITE_TIMEOUT).await;
    assert!(stream.handle.has_timed_out() && stream.log.bodies() == 0);
}

/// The client of an adopted connection has the write timeout for the unsent bytes.
#[tokio::test(start_paused = true)]
async fn adopted_connection_has_a_deadline() {
    let (old, new) = (Server::start(), Server::start());
    let mut stream = old.open(false).await;
    stream.push(vec![Bytes::from(vec![b'x'; 4 << 20])]);
    stream.is_blocked().await;
    let suspended = suspend(&stream.handle).await.expect("suspended");
    let handle = new.adopt(suspended, &stream.log).await;
    stream.handle.connection().release();
    tokio::time::sleep(WRITE_TIMEOUT + Duration::from_secs(1)).await;
    assert!(handle.has_timed_out() && !stream.handle.has_timed_out());
    let mut received = Vec::new();
    let outcome = loop {
        stream.client.set_nonblocking(true).expect("set");
        match stream.client.read_to_end(&mut received) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
            outcome => break outcome,
        }
    };
    assert!(outcome.is_err(), "a reset");
}

#[tokio::test]
async fn released_socket_stays_open_and_is_not_polled() {
    let (server, mut reactor) = Server::stopped();
    let mut stream = server.hand_off(true);
    reactor.merge(server.adoption.inbox.take());
    while reactor.has_work() {
        reactor.run_round().await.expect("served");
    }
    let (reply, mut suspended) = oneshot::channel();
    stream.handle.connection().suspend(Box::new(|suspended| drop(reply.send(suspended))));
    reactor.merge(server.adoption.inbox.take());
    reactor.run_round().await.expect("served");
    let suspended = suspended.try_recv().expect("called").expect("suspended");
    stream.handle.connection().release();
    reactor.merge(server.adoption.inbox.take());
    reactor.run_round().await.expect("served");
    assert_eq!((server.open_connections(), stream.log.bodies()), (0, 0));
    // The client is read by the process that continues its connection, and by no other.
    stream.client.write_all(b"input").expect("sent");
    let mut socket = TcpStream::from(suspended.socket);
    socket.set_nonblocking(false).expect("set");
    assert_eq!(socket.peek(&mut [0; 16]).expect("received"), 5);
    reactor.poller.poll_now().expect("polled");
    assert_eq!(reactor.poller.events().iter().count(), 0);
    socket.write_all(b"output").expect("sent");
    drop(socket);
    let mut text = String::new();
    stream.client.read_to_string(&mut text).ok();
    assert_eq!(text, "output");
}

/// What the client has sent is counted over all processes.
#[tokio::test]
async fn excess_input_is_counted_across_reactors() {
    let (old, new) = (Server::start(), Server::start());
    let mut stream = old.open(false).await;
    stream.client.write_all(&vec![b'x'; 40 * 1024]).expect("sent");
    let counted = async {
        loop {
            let suspended = suspend(&stream.handle).await.expect("suspended");
            if suspended.excess_bytes == 40 * 1024 {
                return suspended;
            }
            drop(suspended);
            stream.handle.connection().resume();
            tokio::task::yield_now().await;
        }
    };
    let suspended = tokio::time::timeout(Duration::from_secs(10), counted).await.expect("counted");
    new.adopt(suspended, &stream.log).await;
    stream.handle.connection().release();
    stream.client.write_all(&vec![b'x'; 40 * 1024]).expect("sent");
    let cut = async {
        while stream.log.bodies() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut).await.expect("cut");
}

/// The options of a socket belong to all processes that have it. A reset would discard what its client has not read yet.
#[tokio::test]
async fn end_of_the_old_reactor_resets_no_suspended_connection() {
    for is_released in [false, true] {
        let (server, reactor) = Server::stopped();
        let running = tokio::spawn(reactor.run());
        let stream = server.open(false).await;
        let suspended = suspend(&stream.handle).await.expect("suspended");
        if is_released {
            stream.handle.connection().release();
        }
        server.adoption.inbox.shut_down(ShutdownMode::Now);
        running.await.expect("no panic");
        let socket = TcpStream::from(suspended.socket);
        assert_eq!(SockRef::from(&socket).linger().expect("an option"), None, "released: {is_released}");
        assert_eq!(server.open_connections(), 0);
    }
}
