//! Many connections that become ready at the same time, so that several threads write to them.

use std::{
    collections::HashSet,
    io::{self, Read as _},
    net::TcpStream,
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
use tokio::task::JoinHandle;

use super::{CONNECTIONS_PER_ROUND, ConnectionHandle, Connections, Counts, Reactor, WRITE_TIMEOUT, hand_off};

/// Number of connections of the crowd.
const CROWD: usize = 10 * CONNECTIONS_PER_ROUND;
/// The number of the first poll after the handoffs. It blocks until all connections are ready.
const FIRST: usize = CROWD + 1;

/// The shared state of the bodies of many connections.
#[derive(Default)]
struct Crowd {
    /// Whether a body panics.
    panics: bool,
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    polls: usize,
    /// Whether all connections are ready.
    all_ready: bool,
    threads: HashSet<ThreadId>,
}

/// The body of a connection of the crowd. It waits until another thread polls a body too, and then ends; or it panics.
struct CrowdBody(Arc<Crowd>);

impl Body for CrowdBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Crowd { panics, written, changed } = &*self.0;
        let mut written = written.lock();
        written.polls += 1;
        match written.polls {
            // One poll of each connection at its handoff.
            ..=CROWD => return Poll::Pending,
            FIRST => {
                changed.wait_while_for(&mut written, |written| !written.all_ready, Duration::from_mins(1));
            }
            // The reactor serves one round itself before it shares the rest.
            poll if poll <= FIRST + CONNECTIONS_PER_ROUND => {}
            _ => {
                assert!(!panics, "a panic of the test");
                written.threads.insert(thread::current().id());
                changed.notify_all();
                let is_alone = |written: &mut Written| written.threads.len() < 2;
                changed.wait_while_for(&mut written, is_alone, Duration::from_mins(1));
                assert!(written.threads.len() > 1, "one thread writes to all");
            }
        }
        Poll::Ready(None)
    }
}

impl Crowd {
    /// Hands off all connections to a reactor and makes them ready at the same time.
    async fn gather(self) -> (Vec<TcpStream>, JoinHandle<()>) {
        let connections = Connections::new(1000, Arc::<Counts>::default());
        for _ in 0..CROWD {
            connections.enter().hand_over();
        }
        let reactor = Reactor::new(connections, WRITE_TIMEOUT).expect("a reactor");
        let inbox = reactor.inbox();
        let served = tokio::spawn(reactor.run());
        let crowd = Arc::new(self);
        let open = |_| hand_off(&inbox, BoxBody::new(CrowdBody(Arc::clone(&crowd))), true);
        let (clients, handles): (Vec<_>, Vec<_>) = (0..CROWD).map(open).unzip();
        crowd.have_polled(CROWD).await;
        handles[0].wake();
        crowd.have_polled(FIRST).await;
        handles[1..].iter().for_each(ConnectionHandle::wake);
        crowd.written.lock().all_ready = true;
        crowd.changed.notify_all();
        (clients, served)
    }

    async fn have_polled(&self, polls: usize) {
        while self.written.lock().polls < polls {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_is_written_by_several_threads() {
    let (clients, _served) = Crowd::default().gather().await;
    for mut client in clients {
        let mut end = String::new();
        client.read_to_string(&mut end).expect("a clean end");
        assert_eq!(end, "0\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_on_another_thread_ends_the_reactor() {
    let (_clients, served) = Crowd { panics: true, ..Crowd::default() }.gather().await;
    let ended = tokio::time::timeout(Duration::from_mins(1), served).await.expect("in time");
    assert!(ended.expect_err("a panic").is_panic());
}
