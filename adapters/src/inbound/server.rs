//! The listener and its connections.
//!
//! The framework has a server of its own. This one exists for what that one does not have: a line that can be cut when
//! its client does not read, a time limit for the head of a request, small buffers, and a pause when the process has no
//! descriptors left (the framework's accepts again at once, for ever).

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulConnection, GracefulShutdown},
};
use poem::{
    Endpoint,
    endpoint::DynEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// What answers every request. Its answers are complete: errors have become responses.
pub type App = Arc<dyn DynEndpoint<Output = poem::Response>>;

/// The connection that a request came by, as its answer may use it. It is in each request's extensions.
#[derive(Clone, Default)]
pub struct Line(Arc<LineState>);

#[derive(Default)]
struct LineState {
    cut: CancellationToken,
    written: AtomicU64,
}

impl Line {
    fn new(cut: CancellationToken) -> Self {
        Self(Arc::new(LineState { cut, written: AtomicU64::new(0) }))
    }

    /// Cuts it: nothing else would end a write to a client that does not read.
    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    /// Whether it was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.cut.is_cancelled()
    }

    /// How many bytes the kernel has taken.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.0.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

/// A client has to send the head of its request within this time.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, and what is encoded ahead of the socket.
const BUFFER_BYTES: usize = 64 * 1024;
/// What the kernel keeps for a client that does not read, about. Left alone it would grow to megabytes, and say that a
/// client makes progress only once in a while.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// A peer that is gone without a word is noticed after a minute, and three more questions.
const TCP_KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(15))
    .with_retries(3);
/// After a failed accept: long enough for descriptors to come free, too short to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is ready, then lets open requests end; what has not ended after `drain` is cut.
pub async fn serve(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>, drain: Duration) {
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
                let cut = abort.child_token();
                let line = Line::new(cut.clone());
                if let Err(error) = prepare(&stream) {
                    debug!(%error, "a connection was lost before its request");
                    continue;
                }
                let local = LocalAddr(stream.local_addr().map_or_else(|_| poem::Addr::default(), Into::into));
                let socket = Socket { stream, line };
                let connection = connection(socket, local, RemoteAddr(remote.into()), Arc::clone(&app));
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    tokio::select! {
                        // The client has gone, or has broken off, which is its right.
                        _ = connection => {}
                        // Its stream was ended because it does not read, or our time is over.
                        () = cut.cancelled() => {}
                    }
                });
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
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        warn!("connections were cut that did not end in time");
    }
    abort.cancel();
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_keepalive(&TCP_KEEPALIVE)
}

fn connection(
    socket: Socket,
    local: LocalAddr,
    remote: RemoteAddr,
    app: App,
) -> impl GracefulConnection<Error: Send> + Send {
    let line = socket.line.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, line) = (Arc::clone(&app), line.clone());
        let (local, remote) = (local.clone(), remote.clone());
        async move {
            let mut request = poem::Request::from((request, local, remote, Scheme::HTTP));
            request.extensions_mut().insert(line);
            let response = app.get_response(request).await;
            Ok::<Response<_>, Infallible>(response.into())
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket), service)
}

/// A client's socket. When its line is cut, what the client has not read is thrown away with it: a peer that does not
/// read would otherwise keep it in the kernel.
struct Socket {
    stream: TcpStream,
    line: Line,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.line.is_cut()
            && let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
        {
            debug!(%error, "a cut connection lingers");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.line.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.line.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Makes an application out of an endpoint that answers everything.
pub(super) fn app(endpoint: impl Endpoint<Output = poem::Response> + 'static) -> App {
    Arc::new(poem::endpoint::ToDynEndpoint(endpoint))
}
