//! The listener and its connections.
//!
//! The framework has a server of its own. This one exists for what that one does not have: a line that can be cut when
//! its client does not read, a time limit for the head of a request, small buffers, and a pause when the process has no
//! descriptors left (the framework's accepts again at once, for ever).

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
/// How often a client with HTTP/2 is asked whether it is there, and how long it has to answer: among many streams, silence of one
/// says nothing.
const HTTP_2_PING: Duration = Duration::from_secs(30);
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

/// Serves until `shutdown` is ready, then lets open requests end; what has not ended after `flush` is cut. With `tls`,
/// HTTP/1.1 and HTTP/2 are served as the client chooses; without, HTTP/1.1.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: App,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
    flush: Duration,
) {
    let graceful = GracefulShutdown::new();
    let abort = CancellationToken::new();
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
                let line = Line::new(cut.clone());
                let socket = Socket { stream, line: line.clone() };
                let peer = Peer { local, remote: RemoteAddr(remote.into()), app: Arc::clone(&app), limits };
                // Two kinds of task: one for both would have the size of the larger for each connection.
                match tls.clone() {
                    None => {
                        let connection = graceful.watch(peer.http1(TokioIo::new(socket), Scheme::HTTP, line));
                        tokio::spawn(until_cut(connection, cut));
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

/// Serves one connection over TLS to its end.
async fn encrypted(socket: Socket, tls: TlsAcceptor, peer: Peer, watcher: Watcher) {
    let line = socket.line.clone();
    // A client that does not come to an end of this either has no time to lose.
    let in_time = tokio::time::timeout(peer.limits.request_timeout, tls.accept(socket));
    let Ok(Ok(stream)) = in_time.await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        let (requests, idle_timeout) = (Arc::new(()), peer.limits.request_timeout);
        let connection = watcher.watch(peer.http2(TokioIo::new(stream), Arc::clone(&requests)));
        tokio::select! {
            // The client has gone, or has broken off, which is its right.
            _ = connection => {}
            // It asks for nothing.
            () = without_requests(requests, idle_timeout) => {}
        }
    } else {
        watcher.watch(peer.http1(TokioIo::new(stream), Scheme::HTTPS, line)).await.ok();
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
        requests: Arc<()>,
    ) -> impl GracefulConnection<Error: Send> + Send {
        let service = service_fn(move |request| {
            let line = Line::shared(Arc::clone(&requests));
            let answered = self.answer(request, Scheme::HTTPS, line.clone());
            async move {
                let answer: Result<_, Infallible> = answered.await;
                answer.map(|answer| answer.map(|body| UntilItsEnd { body, _line: line }))
            }
        });
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP_2_PING)
            .keep_alive_timeout(HTTP_2_PING)
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
