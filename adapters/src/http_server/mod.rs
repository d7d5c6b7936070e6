//! The HTTP server that the inbound adapters stand on.
//!
//! The framework has a server of its own. This one exists for what that one does not have: a deadline for each part of a connection's life
//! (`deadlines`), a limit of connections with room for those who ask (`admission`), and streams that cost next to nothing while they are
//! silent (`reactor`).
//!
//! A connection goes this way: it is accepted here; `connection` finds out what its client speaks, by `protocol` or by `tls`; `http1` or
//! `http2` reads its requests and `service` has them answered. An event stream with HTTP/1.1 leaves hyper behind its head (`handoff`) and goes
//! to the `reactor`, or to `tls_stream`; with HTTP/2 it stays.

mod activity;
mod admission;
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
mod refusal;
mod request_head;
mod service;
mod socket;
mod streaming_body;
pub mod tls;
mod tls_stream;

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
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::{
    activity::Activity,
    admission::{Connections, Newcomers},
    connection::Connection,
    reactor::End,
    service::Service,
    socket::Socket,
};
pub use self::{
    connection_handle::ConnectionHandle,
    listener::{ConnectionLimit, ConnectionLimits, Listener},
    protocol::Protocol,
};

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type BoxBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// Bytes that are encoded ahead of the socket, for each connection.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// After a failed accept, or when all connections are in use: long enough for some to end, too short to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers every request.
#[derive(Clone)]
pub struct App {
    endpoint: Arc<dyn DynEndpoint<Output = poem::Response>>,
    root: Arc<str>,
    routes: &'static [&'static str],
}

impl App {
    /// An endpoint whose answers are complete: errors have become responses. Requests are counted by `routes`, which are paths below `root`.
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

    /// The route that `path` counts for.
    fn route(&self, path: &str) -> &'static str {
        let below = path.strip_prefix(&*self.root);
        self.routes.iter().find(|route| below == Some(route)).copied().unwrap_or("other")
    }
}

/// Serves HTTP/1.1 and HTTP/2, as the client chooses, until `shutdown` is ready, then lets open requests end. Connections that have not ended after
/// `flush` are cut.
pub async fn serve(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    app: App,
    shutdown: impl Future<Output = ()>,
    flush: Duration,
) {
    let Listener { socket, reactor, limits, connections } = listener;
    // Connections of tasks; behind them no connection comes to the reactor.
    let (tasks, inbox) = (TaskTracker::new(), reactor.inbox());
    let mut reactor = tokio::spawn(reactor.run());
    let (closing, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut shutdown = pin!(shutdown);
    let mut acceptor =
        Acceptor { socket, limits, connections, newcomers: Newcomers::default(), fails: false, number: 0 };
    let local = LocalAddr(acceptor.socket.local_addr().map_or_else(|_| poem::Addr::default(), Into::into));
    loop {
        let (stream, remote) = tokio::select! {
            // Somebody connects.
            accepted = acceptor.accept() => accepted,
            // We are to end.
            () = &mut shutdown => break,
            // There is a fault in it: no stream is served any more.
            _ = &mut reactor => return,
        };
        let activity = Arc::<Activity>::default();
        acceptor.newcomers.add(&activity);
        let handle = activity.handle.clone();
        let connection = Connection {
            socket: Socket::new(stream, handle.clone()),
            service: Arc::new(Service {
                local: local.clone(),
                remote,
                app: app.clone(),
                limits,
                connections: Arc::clone(&acceptor.connections),
            }),
            activity,
            permit: acceptor.connections.enter(),
            closing: closing.clone(),
        };
        // Boxed: a task that holds it holds it twice, some KiB for each connection.
        let connection: BoxFuture = match tls.clone() {
            None => Box::pin(connection.serve_plaintext(Arc::clone(&inbox))),
            Some(tls) => Box::pin(connection.serve_tls(tls)),
        };
        tasks.spawn(until_aborted(connection, handle, abort.clone()));
    }
    drop(acceptor);
    closing.cancel();
    tasks.close();
    let ended = async {
        tasks.wait().await;
        inbox.ends(End::Empty);
        (&mut reactor).await.ok();
    };
    if tokio::time::timeout(flush, ended).await.is_err() {
        warn!("connections were cut that did not end in time");
        abort.cancel();
        inbox.ends(End::Now);
        tasks.wait().await;
        reactor.await.ok();
    }
}

/// Drives a connection to its end, or cuts it when the server is aborted.
async fn until_aborted(mut connection: BoxFuture, handle: ConnectionHandle, abort: CancellationToken) {
    tokio::select! {
        // It has ended.
        () = &mut connection => {}
        // The server's time is over. The connection is dropped behind the cut, which makes its end a reset.
        () = abort.cancelled() => handle.cut(),
    }
}

/// Accepts connections, up to a limit.
struct Acceptor {
    socket: TcpListener,
    limits: ConnectionLimits,
    connections: Arc<Connections>,
    newcomers: Newcomers,
    fails: bool,
    number: u64,
}

impl Acceptor {
    async fn accept(&mut self) -> (TcpStream, RemoteAddr) {
        loop {
            self.make_room().await;
            match self.socket.accept().await {
                Ok((stream, remote)) => {
                    self.fails = false;
                    self.limits.jitter(&stream, self.number);
                    self.number += 1;
                    return (stream, RemoteAddr(remote.into()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.fails, true) {
                        warn!(%error, "connections cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits while all connections are in use, and has the oldest of those without a request make room.
    async fn make_room(&mut self) {
        while self.connections.are_all_in_use() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            if self.connections.are_all_in_use() {
                let evicted = self.newcomers.evict(self.connections.limit());
                self.connections.metrics().connections_evicted(evicted);
            }
        }
    }
}
