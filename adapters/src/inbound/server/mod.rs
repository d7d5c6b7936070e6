//! The listener and its connections.
//!
//! The framework has a server of its own. This one exists for what that one does not have: a line that can be cut when
//! its client does not read, a time limit for the head of a request, small buffers, and a pause when the process has no
//! descriptors left (the framework's accepts again at once, for ever).

mod preface;
mod socket;
pub mod tls;

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulConnection, GracefulShutdown, Watcher},
};
use poem::{
    Endpoint,
    endpoint::DynEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::socket::Line;
use self::{socket::Socket, tls::HTTP_2};

/// What answers every request. Its answers are complete: errors have become responses.
pub type App = Arc<dyn DynEndpoint<Output = poem::Response>>;

/// The largest head of a request, and what is encoded ahead of the socket.
const BUFFER_BYTES: usize = 64 * 1024;
/// A silent peer is asked so many times whether it is there until it is given up.
const TCP_KEEPALIVE_QUESTIONS: u32 = 3;
/// What one request with HTTP/2 may send behind its head; those of one line together may send sixteen times as much, so that none
/// whose body nobody reads stands in the way of the others.
const HTTP_2_REQUEST_WINDOW: u32 = 64 * 1024;
/// See [`HTTP_2_REQUEST_WINDOW`].
const HTTP_2_LINE_WINDOW: u32 = 16 * HTTP_2_REQUEST_WINDOW;
/// After a failed accept: long enough for descriptors to come free, too short to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client may ask of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// It has to send the head of its request within this time.
    pub request_timeout: Duration,
    /// What the kernel keeps for it when it does not read, in bytes, about. Left alone that would grow to megabytes, and say
    /// that a client makes progress only once in a while.
    pub send_buffer: usize,
    /// When it acknowledges nothing for so long it is gone; and a silent one is asked in time whether it is.
    pub user_timeout: Duration,
}

/// Serves HTTP/1.1 and HTTP/2, as the client chooses, until `shutdown` is ready, then lets open requests end; what has not ended after
/// `flush` is cut.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: App,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
    flush: Duration,
) {
    let graceful = GracefulShutdown::new();
    let (closing, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut shutdown = pin!(shutdown);
    let mut refusing = false;
    loop {
        let accepted = tokio::select! {
            // Somebody connects.
            accepted = listener.accept() => accepted,
            // We are to end.
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                refusing = false;
                if let Err(error) = limits.apply(&stream) {
                    debug!(%error, "a connection was lost before its request");
                    continue;
                }
                let cut = abort.child_token();
                let local = LocalAddr(stream.local_addr().map_or_else(|_| poem::Addr::default(), Into::into));
                let socket = Socket { stream, line: Line::new(cut.clone()) };
                let peer = Peer { local, remote: RemoteAddr(remote.into()), app: Arc::clone(&app), limits };
                // Two kinds of task: one for both would have the size of the larger for each connection.
                match tls.clone() {
                    None => {
                        tokio::spawn(plain(socket, peer, graceful.watcher(), cut, closing.clone()));
                    }
                    Some(tls) => {
                        let connection = encrypted(socket, tls, peer, graceful.watcher());
                        tokio::spawn(until_cut(connection, cut));
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut refusing, true) {
                    warn!(%error, "no connection can be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    closing.cancel();
    if tokio::time::timeout(flush, graceful.shutdown()).await.is_err() {
        warn!("connections were cut that did not end in time");
    }
    abort.cancel();
}

#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds its arguments twice, two KiB for each connection"
)]
fn until_cut<C: Future>(connection: C, cut: CancellationToken) -> impl Future<Output = ()> {
    async move {
        tokio::select! {
            // The client has gone, or has broken off, which is its right.
            _ = connection => {}
            // Its stream was ended because it does not read, or our time is over.
            () = cut.cancelled() => {}
        }
    }
}

/// Finds out what a connection in the clear speaks, and has it served. What serves it is a task of its own: as a part of this one it
/// would make each connection larger.
async fn plain(
    socket: Socket,
    peer: Peer,
    watcher: Watcher,
    cut: CancellationToken,
    closing: CancellationToken,
) {
    let speaks_http_2 = tokio::select! {
        // It has begun, or has not in time.
        begun = tokio::time::timeout(peer.limits.request_timeout, preface::is_http_2(&socket.stream)) => begun,
        // Who has not asked yet will not be answered.
        () = closing.cancelled() => return,
    };
    let Ok(Ok(speaks_http_2)) = speaks_http_2 else { return };
    let (line, io) = (socket.line.clone(), TokioIo::new(socket));
    if speaks_http_2 {
        tokio::spawn(until_cut(shared(io, Scheme::HTTP, peer, watcher), cut));
    } else {
        tokio::spawn(until_cut(watcher.watch(peer.http1(io, Scheme::HTTP, line)), cut));
    }
}

/// Serves one connection over TLS to its end.
async fn encrypted(socket: Socket, tls: TlsAcceptor, peer: Peer, watcher: Watcher) {
    let line = socket.line.clone();
    // A client that does not come to an end of this either has no time to lose.
    let in_time = tokio::time::timeout(peer.limits.request_timeout, tls.accept(socket));
    let Ok(Ok(stream)) = in_time.await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        shared(TokioIo::new(stream), Scheme::HTTPS, peer, watcher).await;
    } else {
        watcher.watch(peer.http1(TokioIo::new(stream), Scheme::HTTPS, line)).await.ok();
    }
}

/// Serves all requests on one connection with HTTP/2 to its end.
async fn shared<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    scheme: Scheme,
    peer: Peer,
    watcher: Watcher,
) {
    let (requests, idle_timeout) = (Arc::new(()), peer.limits.request_timeout);
    let connection = watcher.watch(peer.http2(io, scheme, Arc::clone(&requests)));
    tokio::select! {
        // The client has gone, or has broken off, which is its right.
        _ = connection => {}
        // It asks for nothing.
        () = without_requests(requests, idle_timeout) => {}
    }
}

/// Waits until there has been no request on a connection for `timeout`, or somewhat longer. The connection itself holds
/// `requests` once, and each request as long as it is not answered to its end.
async fn without_requests(requests: Arc<()>, timeout: Duration) {
    const NONE: usize = 2;
    let mut idle = false;
    while !idle {
        tokio::time::sleep(timeout).await;
        idle = Arc::strong_count(&requests) == NONE;
    }
}

/// Who is connected to whom, and what answers.
struct Peer {
    local: LocalAddr,
    remote: RemoteAddr,
    app: App,
    limits: ConnectionLimits,
}

impl Peer {
    /// Every request has the line to itself.
    fn http1<I: Read + Write + Unpin + Send + 'static>(
        self,
        io: I,
        scheme: Scheme,
        line: Line,
    ) -> impl GracefulConnection<Error: Send> + Send {
        let request_timeout = self.limits.request_timeout;
        let service = service_fn(move |request| self.answer(request, scheme.clone(), line.clone()));
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(request_timeout)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service)
    }

    /// Requests share the line: to end one of them, its stream is reset, not the line cut.
    fn http2<I: Read + Write + Unpin + Send + 'static>(
        self,
        io: I,
        scheme: Scheme,
        requests: Arc<()>,
    ) -> impl GracefulConnection<Error: Send> + Send {
        // The client is asked whether it is there, and has time to answer: among many streams, silence of one says nothing.
        let ping = self.limits.user_timeout / 2;
        let service = service_fn(move |request| {
            let line = Line::shared(Arc::clone(&requests));
            let answered = self.answer(request, scheme.clone(), line.clone());
            async move {
                let answer: Result<_, Infallible> = answered.await;
                answer.map(|answer| answer.map(|body| UntilItsEnd { body, _line: line }))
            }
        });
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(ping)
            .keep_alive_timeout(ping)
            .initial_stream_window_size(HTTP_2_REQUEST_WINDOW)
            .initial_connection_window_size(HTTP_2_LINE_WINDOW)
            .max_send_buf_size(BUFFER_BYTES)
            .serve_connection(io, service)
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        scheme: Scheme,
        line: Line,
    ) -> impl Future<Output = Result<Response<BoxBody>, Infallible>> + Send + use<> {
        let mut request = poem::Request::from((request, self.local.clone(), self.remote.clone(), scheme));
        request.extensions_mut().insert(line);
        let app = Arc::clone(&self.app);
        async move { Ok(app.get_response(request).await.into()) }
    }
}

/// A body that holds its line until it has gone out, or is given up.
struct UntilItsEnd {
    body: BoxBody,
    _line: Line,
}

impl Body for UntilItsEnd {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type BoxBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

impl ConnectionLimits {
    fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        socket.set_send_buffer_size(self.send_buffer)?;
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        socket.set_tcp_keepalive(&self.keepalive())
    }

    /// The first question after half of the time, the others in the rest of it.
    fn keepalive(&self) -> TcpKeepalive {
        let whole_seconds = |time: Duration| time.max(Duration::from_secs(1));
        TcpKeepalive::new()
            .with_time(whole_seconds(self.user_timeout / 2))
            .with_interval(whole_seconds(self.user_timeout / (2 * TCP_KEEPALIVE_QUESTIONS)))
            .with_retries(TCP_KEEPALIVE_QUESTIONS)
    }
}

/// Makes an application out of an endpoint that answers everything.
pub(super) fn app(endpoint: impl Endpoint<Output = poem::Response> + 'static) -> App {
    Arc::new(poem::endpoint::ToDynEndpoint(endpoint))
}
