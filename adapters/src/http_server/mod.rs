//! The listener and its connections.
//!
//! The framework has a server of its own. This one exists for what that one does not have: a handle that can be cut when
//! its client does not read, a time limit for the head of a request, small buffers, and a pause when the process has no
//! descriptors left (the framework's accepts again at once, for ever).

mod connection_handle;
mod excess_input;
mod handoff;
mod listener;
mod peer;
mod protocol;
mod reactor;
mod socket;
mod streaming_body;
pub mod tls;
mod tls_stream;

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    rt::{Read, Write},
    server::conn::http1::Parts,
};
use hyper_util::rt::TokioIo;
use poem::{
    Endpoint,
    endpoint::DynEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

pub use self::{
    connection_handle::ConnectionHandle,
    listener::{ConnectionLimits, Listener},
};
use self::{
    excess_input::ExcessInput,
    handoff::{Handoff, until_handed_off},
    peer::Peer,
    reactor::{Arrival, End, Inbox},
    socket::Socket,
    streaming_body::StreamingBody,
    tls::HTTP_2,
};

/// What answers every request. Its answers are complete: errors have become responses.
pub type App = Arc<dyn DynEndpoint<Output = poem::Response>>;

type BoxBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// After a failed accept: long enough for descriptors to come free, too short to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client has to close its side when an answer without an end was written nevertheless.
const LINGER: Duration = Duration::from_secs(5);

/// Serves HTTP/1.1 and HTTP/2, as the client chooses, until `shutdown` is ready, then lets open requests end; what has not ended after
/// `flush` is cut.
pub async fn serve(
    Listener { socket: listener, lane: reactor, limits }: Listener,
    tls: Option<TlsAcceptor>,
    app: App,
    shutdown: impl Future<Output = ()>,
    flush: Duration,
) {
    let local = LocalAddr(listener.local_addr().map_or_else(|_| poem::Addr::default(), Into::into));
    let (closing, abort) = (CancellationToken::new(), CancellationToken::new());
    // Those with hyper; behind them nobody comes to the lane.
    let (open, inbox) = (TaskTracker::new(), reactor.inbox());
    let mut served = tokio::spawn(reactor.run());
    let mut shutdown = pin!(shutdown);
    let (mut refusing, mut number) = (false, 0);
    loop {
        let accepted = tokio::select! {
            // Somebody connects.
            accepted = listener.accept() => accepted,
            // We are to end.
            () = &mut shutdown => break,
            // There is a fault in it: no stream is served any more.
            _ = &mut served => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                refusing = false;
                limits.spread(&stream, number);
                number += 1;
                let handle = ConnectionHandle::default();
                let socket = Socket::new(stream, handle.clone());
                let peer = Peer {
                    local: local.clone(),
                    remote: RemoteAddr(remote.into()),
                    app: Arc::clone(&app),
                    limits,
                };
                let (abort, closing) = (abort.clone(), closing.clone());
                // Two kinds of task: one for both would have the size of the larger for each connection.
                match tls.clone() {
                    None => {
                        let connection = plain(socket, peer, Arc::clone(&inbox), closing);
                        open.spawn(until_cut(connection, handle, abort));
                    }
                    Some(tls) => {
                        let connection = encrypted(socket, tls, peer, closing);
                        open.spawn(until_cut(connection, handle, abort));
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
    open.close();
    let ended = async {
        open.wait().await;
        inbox.ends(End::Empty);
        (&mut served).await.ok();
    };
    if tokio::time::timeout(flush, ended).await.is_err() {
        warn!("connections were cut that did not end in time");
        abort.cancel();
        inbox.ends(End::Now);
        open.wait().await;
        served.await.ok();
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds its arguments twice, two KiB for each connection"
)]
fn until_cut<C: Future>(
    connection: C,
    handle: ConnectionHandle,
    abort: CancellationToken,
) -> impl Future<Output = ()> + use<C> {
    async move {
        tokio::select! {
            // The client has gone, or has broken off, which is its right.
            _ = connection => {}
            // Its stream was ended because it does not read.
            () = handle.until_cut() => {}
            // Our time is over.
            () = abort.cancelled() => handle.cut(),
        }
    }
}

/// Finds out what a connection in the clear speaks, and serves it to its end, or until it leaves for the lane.
async fn plain(socket: Socket, peer: Peer, inbox: Arc<Inbox>, closing: CancellationToken) {
    let speaks_http_2 = tokio::select! {
        // It has begun, or has not in time.
        begun = tokio::time::timeout(peer.limits.request_timeout, socket.speaks_http_2()) => begun,
        // Who has not asked yet will not be answered.
        () = closing.cancelled() => return,
    };
    match speaks_http_2 {
        // Apart: most have the size of the others.
        Ok(Ok(true)) => Box::pin(shared(TokioIo::new(socket), Scheme::HTTP, peer, closing)).await,
        Ok(Ok(false)) => {
            let handle = socket.handle.clone();
            if let Some(left) = alone(socket, Scheme::HTTP, peer, &handle, closing).await {
                to_the_lane(left, handle, &inbox);
            }
        }
        Ok(Err(_)) | Err(_) => {}
    }
}

fn to_the_lane(Left { io, body, excess_input }: Left<Socket>, handle: ConnectionHandle, inbox: &Inbox) {
    match io.into_std() {
        Ok(socket) => inbox.arrives(Arrival { socket, handle, body, excess_input }),
        Err(error) => debug!(%error, "a connection was lost behind its request"),
    }
}

/// Serves one connection over TLS to its end.
async fn encrypted(socket: Socket, tls: TlsAcceptor, peer: Peer, closing: CancellationToken) {
    let handle = socket.handle.clone();
    // A client that does not come to an end of this either has no time to lose.
    let in_time = tokio::time::timeout(peer.limits.request_timeout, tls.accept(socket));
    let Ok(Ok(stream)) = in_time.await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        shared(TokioIo::new(stream), Scheme::HTTPS, peer, closing).await;
    } else if let Some(Left { io, body, excess_input }) =
        alone(stream, Scheme::HTTPS, peer, &handle, closing).await
    {
        tls_stream::serve(io, handle, body, excess_input).await;
    }
}

/// A connection whose answer has no end.
struct Left<I> {
    io: I,
    body: StreamingBody,
    excess_input: ExcessInput,
}

/// Serves one connection with HTTP/1.1 to its end, or until its answer has none.
async fn alone<I: AsyncRead + AsyncWrite + Unpin>(
    io: I,
    scheme: Scheme,
    peer: Peer,
    handle: &ConnectionHandle,
    closing: CancellationToken,
) -> Option<Left<I>> {
    let handoff = Handoff::default();
    let mut connection = peer.http1(TokioIo::new(io), scheme, handle.clone(), handoff.clone());
    let left = tokio::select! {
        // It has ended, or its answer has no end.
        left = until_handed_off(&mut connection, &handoff, handle) => left,
        // The present answer is the last.
        () = closing.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            until_handed_off(&mut connection, &handoff, handle).await
        }
    };
    let body = left?;
    let Parts { io, read_buf, .. } = connection.into_parts();
    let mut excess_input = ExcessInput::default();
    excess_input.add(read_buf.len());
    Some(Left { io: io.into_inner(), body, excess_input })
}

/// Serves all requests on one connection with HTTP/2 to its end.
async fn shared<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    scheme: Scheme,
    peer: Peer,
    closing: CancellationToken,
) {
    let (requests, idle_timeout) = (Arc::new(()), peer.limits.request_timeout);
    let mut connection = pin!(peer.http2(io, scheme, Arc::clone(&requests)));
    tokio::select! {
        // The client has gone, or has broken off, which is its right.
        _ = connection.as_mut() => return,
        // It asks for nothing.
        () = without_requests(requests, idle_timeout) => return,
        // The present answers are the last.
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.ok();
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

/// Makes an application out of an endpoint that answers everything.
pub(super) fn app(endpoint: impl Endpoint<Output = poem::Response> + 'static) -> App {
    Arc::new(poem::endpoint::ToDynEndpoint(endpoint))
}
