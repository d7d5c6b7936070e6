//! A connection, from its acceptance to its end or to its handoff to the reactor.

use std::sync::Arc;

use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Protocol,
    activity::Activity,
    admission::Permit,
    deadlines::Deadlines,
    http1::{self, HandedOff},
    http2,
    reactor::{Inbox, NewConnection},
    service::Service,
    socket::{Socket, Transport, TransportParts},
    tls::{HTTP_2, TlsAcceptor},
};

/// An accepted connection.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) service: Arc<Service>,
    pub(super) activity: Arc<Activity>,
    pub(super) permit: Permit,
    pub(super) closing: CancellationToken,
}

impl Connection {
    /// Detects the protocol of a plaintext connection and serves it.
    pub(super) fn serve_plaintext(self, reactor: Arc<Inbox>) -> impl Future<Output = ()> + Send {
        let Self { socket, service, activity, permit, closing } = self;
        async move {
            let connections = Arc::clone(&service.connections);
            let mut deadlines = Deadlines::new(activity, &service.limits);
            let served = async {
                let detected = tokio::select! {
                    // The first bytes have arrived, or the deadline has passed.
                    detected = deadlines.run(socket.protocol()) => detected?,
                    // The server shuts down. No request has arrived yet, so the connection just closes.
                    () = closing.cancelled() => return Ok(()),
                };
                match detected {
                    // Boxed, because most connections use HTTP/1.1 and need no room for this future.
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
            if let Err(aborted) = served.await {
                connections.record_abort(aborted);
            }
        }
    }

    /// Performs the TLS handshake and serves the protocol that it has negotiated.
    pub(super) fn serve_tls(self, tls: TlsAcceptor, reactor: Arc<Inbox>) -> impl Future<Output = ()> + Send {
        let Self { socket, service, activity, permit, closing } = self;
        async move {
            let connections = Arc::clone(&service.connections);
            let mut deadlines = Deadlines::new(activity, &service.limits);
            let served = async {
                // Boxed, like the futures below, because a task keeps the size of its largest part until it ends.
                let handshake = Box::pin(tls.accept(socket));
                let stream = tokio::select! {
                    // The handshake has succeeded or failed, or the deadline has passed.
                    result = deadlines.run(handshake) => result?,
                    // The server shuts down. No request has arrived yet, so the connection just closes.
                    () = closing.cancelled() => return Ok(()),
                };
                match stream {
                    Ok(stream) if stream.protocol() == Some(HTTP_2) => {
                        let io = TokioIo::new(stream);
                        Box::pin(http2::serve(io, Scheme::HTTPS, service, &mut deadlines, closing)).await
                    }
                    Ok(stream) => {
                        let served = http1::serve(stream, Scheme::HTTPS, service, &mut deadlines, closing);
                        if let Some(handed_off) = Box::pin(served).await? {
                            move_to_reactor(handed_off, &deadlines, permit, &reactor);
                        }
                        Ok(())
                    }
                    Err(error) => {
                        debug!(%error, "TLS handshake failed");
                        connections.metrics().handshake_failed();
                        Ok(())
                    }
                }
            };
            if let Err(aborted) = served.await {
                connections.record_abort(aborted);
            }
        }
    }
}

fn move_to_reactor(
    HandedOff { io, body, mut excess_input }: HandedOff<impl Transport>,
    deadlines: &Deadlines,
    permit: Permit,
    reactor: &Inbox,
) {
    let handle = deadlines.activity().handle.clone();
    let TransportParts { socket, session, unsent, unread } = io.into_parts();
    excess_input.add(unread);
    match socket.into_std() {
        Ok(socket) => {
            permit.hand_over();
            let unsent = unsent.into();
            reactor.hand_off(NewConnection { socket, session, handle, body, unsent, excess_input });
        }
        Err(error) => debug!(%error, "connection lost before its handoff"),
    }
}
