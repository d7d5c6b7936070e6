//! The HTTP server of the inbound adapters.
//!
//! poem has a server too. This one adds a deadline for each phase of a connection (`deadlines`), a limit of connections that evicts idle
//! ones (`admission`), and event streams that need little memory while they are idle (`reactor`).
//!
//! Lifecycle of a connection: this module accepts it; `connection` detects the protocol, from the first bytes (`protocol`) or from the TLS
//! handshake (`tls`); `http1` or `http2` reads its requests, and `service` passes them to the application. With HTTP/1.1 an event stream is
//! handed off from hyper to the `reactor` after its response head (`handoff`). With HTTP/2 hyper keeps it.

mod accepting;
mod activity;
mod admission;
mod adoption;
mod connection;
mod connection_handle;
mod deadlines;
mod excess_input;
mod handoff;
mod http1;
mod http1_io;
mod http2;
mod listener;
mod protocol;
mod reactor;
mod rejection;
mod request_head;
mod service;
mod socket;
mod streaming_body;
pub mod tls;

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use poem::{
    Endpoint,
    endpoint::{DynEndpoint, ToDynEndpoint},
    web::{LocalAddr, RemoteAddr},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

pub use self::{
    accepting::Accepting,
    adoption::Adoption,
    connection_handle::ConnectionHandle,
    listener::{ConnectionLimit, ConnectionLimits, Listener},
    protocol::Protocol,
};
use self::{
    activity::Activity,
    admission::{Connections, EvictionQueue},
    connection::Connection,
    reactor::{Reactor, ShutdownMode},
    service::Service,
    socket::Socket,
    tls::TlsAcceptor,
};

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type BoxBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// Size of hyper's write buffer for each connection, in bytes.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Pause after a failed accept, and while the limit of connections is reached. Some connections end meanwhile; clients do not notice it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The application that answers every request.
#[derive(Clone)]
pub struct App {
    endpoint: Arc<dyn DynEndpoint<Output = poem::Response>>,
    root: Arc<str>,
    routes: &'static [&'static str],
}

impl App {
    /// Creates an application from an endpoint that has turned every error into a response. Requests are counted by `routes`, which are
    /// paths below `root`.
    pub(crate) fn new(
        endpoint: impl Endpoint<Output = poem::Response> + 'static,
        root: &str,
        routes: &'static [&'static str],
    ) -> Self {
        let root = root.trim_end_matches('/').into();
        Self { endpoint: Arc::new(ToDynEndpoint(endpoint)), root, routes }
    }

    /// Answers a request.
    pub async fn answer(&self, request: poem::Request) -> poem::Response {
        self.endpoint.get_response(request).await
    }

    /// Returns the route as which `path` is counted.
    fn route(&self, path: &str) -> &'static str {
        let below = path.strip_prefix(&*self.root);
        self.routes.iter().find(|route| below == Some(route)).copied().unwrap_or("other")
    }
}

/// Serves HTTP/1.1 and HTTP/2 until `shutdown` completes. Then it accepts no more connections and waits for the requests in progress, for
/// the time that `shutdown` returns at most. After that it cuts the remaining connections.
pub async fn serve(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    app: App,
    shutdown: impl Future<Output = Duration>,
) {
    let (mut acceptor, reactor) = Acceptor::of(listener);
    // Each connection starts as a task. When all tasks have ended, no connection can be handed off to the reactor any more.
    let (tasks, inbox) = (TaskTracker::new(), reactor.inbox());
    let mut reactor = tokio::spawn(reactor.run());
    let (closing, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut shutdown = pin!(shutdown);
    let local = LocalAddr(acceptor.socket.local_addr().map_or_else(|_| poem::Addr::default(), Into::into));
    let flush_timeout = loop {
        let (stream, remote) = tokio::select! {
            // A client connects.
            accepted = acceptor.accept() => accepted,
            // The server shuts down.
            flush_timeout = &mut shutdown => break flush_timeout,
            // The reactor has panicked or failed: it serves no stream any more.
            _ = &mut reactor => return,
        };
        let activity = Arc::<Activity>::default();
        acceptor.eviction_queue.add(&activity);
        let handle = activity.handle.clone();
        let connection = Connection {
            socket: Socket::new(stream, handle.clone()),
            service: Arc::new(Service {
                local: local.clone(),
                remote,
                app: app.clone(),
                limits: acceptor.limits,
                connections: Arc::clone(&acceptor.connections),
            }),
            activity,
            permit: acceptor.connections.enter(),
            closing: closing.clone(),
        };
        // Boxed, because an async block would reserve room for it twice, some KiB for each connection.
        let connection: BoxFuture = match tls.clone() {
            None => Box::pin(connection.serve_plaintext(Arc::clone(&inbox))),
            Some(tls) => Box::pin(connection.serve_tls(tls, Arc::clone(&inbox))),
        };
        tasks.spawn(until_aborted(connection, handle, abort.clone()));
    };
    drop(acceptor);
    closing.cancel();
    tasks.close();
    let ended = async {
        tasks.wait().await;
        inbox.shut_down(ShutdownMode::WhenEmpty);
        (&mut reactor).await.ok();
    };
    if tokio::time::timeout(flush_timeout, ended).await.is_err() {
        warn!("connections cut that did not end in time");
        abort.cancel();
        inbox.shut_down(ShutdownMode::Now);
        tasks.wait().await;
        reactor.await.ok();
    }
}

/// Drives a connection to its end, or cuts it when `abort` is cancelled.
async fn until_aborted(mut connection: BoxFuture, handle: ConnectionHandle, abort: CancellationToken) {
    tokio::select! {
        // The connection has ended.
        () = &mut connection => {}
        // The flush timeout has passed. Because the connection is cut before it is dropped, it closes with a reset.
        () = abort.cancelled() => handle.cut(),
    }
}

/// Accepts connections up to the limit.
struct Acceptor {
    socket: TcpListener,
    limits: ConnectionLimits,
    connections: Arc<Connections>,
    /// Whether another process holds the socket as well.
    is_shared: bool,
    accepting: Accepting,
    eviction_queue: EvictionQueue,
    /// Whether the last accept failed. A series of failures is logged once.
    is_failing: bool,
    /// Number of connections accepted so far.
    accepted: u64,
}

impl Acceptor {
    /// Returns the acceptor of `listener`, and the reactor for its connections.
    fn of(listener: Listener) -> (Self, Reactor) {
        let Listener { socket, reactor, limits, connections, is_shared, accepting } = listener;
        let acceptor = Self {
            socket,
            limits,
            connections,
            is_shared,
            accepting,
            eviction_queue: EvictionQueue::default(),
            is_failing: false,
            accepted: 0,
        };
        (acceptor, reactor)
    }

    async fn accept(&mut self) -> (TcpStream, RemoteAddr) {
        loop {
            self.make_room().await;
            let accepted = tokio::select! {
                // Another process accepts the connections.
                () = self.accepting.wait_until(false) => {
                    self.accepting.wait_until(true).await;
                    continue;
                }
                // A client connects.
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    self.is_failing = false;
                    if self.is_shared {
                        // It may have connected before this process set the options of the listener.
                        self.limits.apply_or_warn(&stream);
                    }
                    self.limits.jitter(&stream, self.accepted);
                    self.accepted += 1;
                    return (stream, RemoteAddr(remote.into()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        warn!(%error, "connections cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits while the limit of connections is reached, and evicts the oldest connections without a request.
    async fn make_room(&mut self) {
        while self.connections.is_limit_reached() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            if self.connections.is_limit_reached() {
                let evicted = self.eviction_queue.evict(self.connections.limit());
                self.connections.metrics().connections_evicted(evicted);
            }
        }
    }
}
