//! The listener and its connections.
//!
//! The framework has a server of its own. This one exists for what that one does not have: a line that can be cut when
//! its client does not read, a time limit for the head of a request, small buffers, and a pause when the process has no
//! descriptors left (the framework's accepts again at once, for ever).

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use poem::{
    Endpoint,
    endpoint::DynEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// What answers every request. Its answers are complete: errors have become responses.
pub type App = Arc<dyn DynEndpoint<Output = poem::Response>>;

/// Cuts the connection that a request came by. It is in each request's extensions.
#[derive(Clone)]
pub(super) struct Cut(pub(super) CancellationToken);

/// A client has to send the head of its request within this time.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, and what is encoded ahead of the socket.
const BUFFER_BYTES: usize = 64 * 1024;
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
                let socket = Socket { stream, cut: cut.clone() };
                if let Err(error) = socket.stream.set_nodelay(true) {
                    debug!(%error, "a connection was lost before its request");
                    continue;
                }
                let local =
                    LocalAddr(socket.stream.local_addr().map_or_else(|_| poem::Addr::default(), Into::into));
                let connection =
                    connection(socket, local, RemoteAddr(remote.into()), Arc::clone(&app), cut.clone());
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

fn connection(
    socket: Socket,
    local: LocalAddr,
    remote: RemoteAddr,
    app: App,
    cut: CancellationToken,
) -> impl hyper_util::server::graceful::GracefulConnection<Error: Send> + Send {
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, cut) = (Arc::clone(&app), cut.clone());
        let (local, remote) = (local.clone(), remote.clone());
        async move {
            let mut request = poem::Request::from((request, local, remote, Scheme::HTTP));
            request.extensions_mut().insert(Cut(cut));
            let response = app.get_response(request).await;
            Ok::<Response<_>, std::convert::Infallible>(response.into())
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES);
    builder.serve_connection(TokioIo::new(socket), service).into_owned()
}

/// A client's socket. When its line is cut, what the client has not read is thrown away with it: a peer that does not
/// read would otherwise keep it in the kernel.
struct Socket {
    stream: TcpStream,
    cut: CancellationToken,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.cut.is_cancelled()
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
        Pin::new(&mut self.stream).poll_write(context, buffer)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Makes an application out of an endpoint that answers everything.
pub(super) fn app(endpoint: impl Endpoint<Output = poem::Response> + 'static) -> App {
    Arc::new(poem::endpoint::ToDynEndpoint(endpoint))
}
