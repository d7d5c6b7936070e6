//! One connection, from accepting to its end or until the reactor takes it over.

use std::sync::Arc;

use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Protocol,
    activity::Activity,
    admission::Permit,
    deadlines::{Deadlines, Overdue},
    http1::{self, HandedOff},
    http2,
    reactor::{Arrival, Inbox},
    service::Service,
    socket::Socket,
    tls::HTTP_2,
    tls_stream,
};

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) service: Arc<Service>,
    pub(super) activity: Arc<Activity>,
    pub(super) permit: Permit,
    pub(super) closing: CancellationToken,
}

impl Connection {
    /// Finds out what the client speaks and serves it.
    pub(super) fn serve_plaintext(self, reactor: Arc<Inbox>) -> impl Future<Output = ()> + Send {
        let Self { socket, service, activity, permit, closing } = self;
        async move {
            let connections = Arc::clone(&service.connections);
            let mut deadlines = Deadlines::new(activity, &service.limits);
            let served = async {
                let detected = tokio::select! {
                    // The first bytes have come, or not in time.
                    detected = deadlines.bound(socket.protocol()) => detected?,
                    // A client that has not asked yet is not answered.
                    () = closing.cancelled() => return Ok(()),
                };
                match detected {
                    // Boxed: most connections have the size of the others.
                    Ok(Protocol::Http2) => {
                        let io = TokioIo::new(socket);
                        Box::pin(http2::serve(io, Scheme::HTTP, service, &mut deadlines, closing)).await
                    }
                    Ok(Protocol::Http1) => {
                        let served = http1::serve(socket, Scheme::HTTP, service, &mut deadlines, closing);
                        if let Some(handed_off) = served.await? {
                            move_to_reactor(handed_off, &deadlines, permit, &reactor);
                        }
                        Ok(())
                    }
                    Err(_) => Ok(()),
                }
            };
            if let Err(overdue) = served.await {
                connections.count(overdue);
            }
        }
    }

    /// Shakes hands and serves what the client has chosen.
    pub(super) fn serve_tls(self, tls: TlsAcceptor) -> impl Future<Output = ()> + Send {
        let Self { socket, service, activity, permit, closing } = self;
        async move {
            let _permit = permit;
            let connections = Arc::clone(&service.connections);
            let mut deadlines = Deadlines::new(activity, &service.limits);
            let served = async {
                // Boxed, as what follows: a task keeps the size of its largest part for as long as it lives.
                let handshake = Box::pin(async { tls.accept(socket).await.map(Box::new) });
                let stream = tokio::select! {
                    // It is done, or has failed, or the client takes too long.
                    shaken = deadlines.bound(handshake) => shaken?,
                    // A client that has not asked yet is not answered.
                    () = closing.cancelled() => return Ok(()),
                };
                match stream {
                    Ok(stream) => serve_encrypted(stream, service, &mut deadlines, closing).await,
                    Err(error) => {
                        debug!(%error, "TLS handshake failed");
                        connections.metrics().handshake_failed();
                        Ok(())
                    }
                }
            };
            if let Err(overdue) = served.await {
                connections.count(overdue);
            }
        }
    }
}

async fn serve_encrypted(
    stream: Box<TlsStream<Socket>>,
    service: Arc<Service>,
    deadlines: &mut Deadlines,
    closing: CancellationToken,
) -> Result<(), Overdue> {
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        return Box::pin(http2::serve(TokioIo::new(stream), Scheme::HTTPS, service, deadlines, closing))
            .await;
    }
    match Box::pin(http1::serve(stream, Scheme::HTTPS, service, deadlines, closing)).await? {
        Some(handed_off) => Box::pin(tls_stream::serve(handed_off, deadlines)).await,
        None => Ok(()),
    }
}

fn move_to_reactor(
    HandedOff { io, body, excess_input }: HandedOff<Socket>,
    deadlines: &Deadlines,
    permit: Permit,
    reactor: &Inbox,
) {
    let handle = deadlines.activity().handle.clone();
    match io.into_std() {
        Ok(socket) => {
            permit.hand_over();
            reactor.arrives(Arrival { socket, handle, body, excess_input });
        }
        Err(error) => debug!(%error, "connection lost behind its request"),
    }
}
