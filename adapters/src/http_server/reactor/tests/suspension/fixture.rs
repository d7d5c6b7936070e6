//! A reactor whose connections take from logs, and their clients.

use std::collections::VecDeque;

use super::*;

/// What a stream has still to take, in turns of several frames.
#[derive(Clone, Default)]
pub(super) struct Log(pub(super) Arc<Mutex<Untaken>>);

#[derive(Default)]
pub(super) struct Untaken {
    turns: VecDeque<Vec<Bytes>>,
    pub(super) has_ended: bool,
    /// The number of bodies that take from the log.
    bodies: usize,
    /// The number of times that a body was polled.
    polls: usize,
}

/// A body that takes a turn at a time, like that of an event stream.
struct LogBody {
    log: Log,
    handle: ConnectionHandle,
    rest: vec::IntoIter<Bytes>,
}

impl Body for LogBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.log.0.lock().polls += 1;
        loop {
            if let Some(frame) = self.rest.next() {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            if self.handle.is_suspended() {
                return Poll::Pending;
            }
            let mut untaken = self.log.0.lock();
            match untaken.turns.pop_front() {
                Some(turn) => {
                    drop(untaken);
                    self.rest = turn.into_iter();
                }
                None if untaken.has_ended => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}

impl Drop for LogBody {
    fn drop(&mut self) {
        self.log.0.lock().bodies -= 1;
    }
}

impl Log {
    pub(super) fn body(&self, handle: &ConnectionHandle) -> BoxBody<Bytes, io::Error> {
        self.0.lock().bodies += 1;
        BoxBody::new(LogBody { log: self.clone(), handle: handle.clone(), rest: Vec::new().into_iter() })
    }

    pub(super) fn push(&self, turn: impl IntoIterator<Item = Bytes>) {
        self.0.lock().turns.push_back(turn.into_iter().collect());
    }

    pub(super) fn untaken(&self) -> usize {
        self.0.lock().turns.len()
    }

    pub(super) fn polls(&self) -> usize {
        self.0.lock().polls
    }

    pub(super) fn bodies(&self) -> usize {
        self.0.lock().bodies
    }
}

/// A reactor with the counts of its connections.
pub(super) struct Server {
    pub(super) adoption: Adoption,
    counts: Arc<Counts>,
}

impl Server {
    pub(super) fn start() -> Self {
        let (server, reactor) = Self::stopped();
        tokio::spawn(reactor.run());
        server
    }

    /// Creates a server whose reactor the caller drives.
    pub(super) fn stopped() -> (Self, Reactor) {
        let counts = Arc::<Counts>::default();
        let connections = Connections::new(1000, counts.clone());
        let reactor = Reactor::new(Arc::clone(&connections), WRITE_TIMEOUT).expect("a reactor");
        (Self { adoption: Adoption { inbox: reactor.inbox(), connections }, counts }, reactor)
    }

    /// Opens a connection, and waits until the reactor has it.
    pub(super) async fn open(&self, chunked: bool) -> Stream {
        let stream = self.hand_off(chunked);
        while stream.log.polls() == 0 {
            tokio::task::yield_now().await;
        }
        stream
    }

    pub(super) fn hand_off(&self, chunked: bool) -> Stream {
        let log = Log::default();
        self.adoption.connections.enter().hand_over();
        let body = |handle: &ConnectionHandle| log.body(handle);
        let (client, handle) = hand_off_with(&self.adoption.inbox, None, body, chunked);
        Stream { client, handle, log }
    }

    /// Continues a connection, and waits until the reactor has it. Returns its handle.
    pub(super) async fn adopt(&self, suspended: SuspendedConnection, log: &Log) -> ConnectionHandle {
        let (mut adopted, polls) = (None, log.polls());
        let body = |handle: ConnectionHandle| {
            let body = log.body(&handle);
            adopted = Some(handle);
            poem::Body::from(body)
        };
        self.adoption.adopt(suspended, body).expect("a socket");
        let handle = adopted.expect("a body");
        // It takes from the log when the unsent bytes are written.
        while log.polls() == polls && !handle.is_blocked() {
            tokio::task::yield_now().await;
        }
        handle
    }

    pub(super) fn open_connections(&self) -> usize {
        self.counts.0.lock().0
    }

    /// Waits until the reactor has handled everything that was queued before.
    pub(super) async fn catches_up(&self) {
        let mut other = self.open(false).await;
        other.push([Bytes::from_static(b"x")]);
        other.client.set_nonblocking(true).expect("set");
        while other.client.read(&mut [0]).is_err() {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) struct Stream {
    pub(super) client: TcpStream,
    pub(super) handle: ConnectionHandle,
    pub(super) log: Log,
}

impl Stream {
    pub(super) fn push(&self, turn: impl IntoIterator<Item = Bytes>) {
        self.log.push(turn);
        self.handle.wake();
    }

    pub(super) fn end(&self) {
        self.log.0.lock().has_ended = true;
        self.handle.wake();
    }

    pub(super) async fn is_blocked(&self) {
        while !self.handle.is_blocked() {
            tokio::task::yield_now().await;
        }
    }

    /// Reads up to `limit` bytes of those that have arrived. Returns whether the server has ended the response.
    pub(super) fn read_arrived(&mut self, limit: usize, received: &mut Vec<u8>) -> bool {
        self.client.set_nonblocking(true).expect("set");
        let mut buffer = vec![0; limit];
        match self.client.read(&mut buffer) {
            Ok(0) => limit > 0,
            Ok(read) => {
                received.extend_from_slice(&buffer[..read]);
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    pub(super) async fn read_to_end(&mut self, received: &mut Vec<u8>) {
        while !self.read_arrived(1 << 20, received) {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) async fn suspend(handle: &ConnectionHandle) -> Option<SuspendedConnection> {
    let (reply, suspended) = oneshot::channel();
    handle.connection().suspend(Box::new(|suspended| drop(reply.send(suspended))));
    suspended.await.expect("called once")
}
