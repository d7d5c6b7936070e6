//! What answers the requests of one connection.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use poem::{
    Endpoint as _,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};

use super::{App, BoxBody, ConnectionLimits, connection_handle::ConnectionHandle, handoff::Handoff};

/// The largest head of a request, and what is encoded ahead of the socket.
const BUFFER_BYTES: usize = 64 * 1024;
/// What one request with HTTP/2 may send behind its head; those of one handle together may send sixteen times as much, so that none
/// whose body nobody reads stands in the way of the others.
const HTTP_2_REQUEST_WINDOW: u32 = 64 * 1024;
/// See [`HTTP_2_REQUEST_WINDOW`].
const HTTP_2_LINE_WINDOW: u32 = 16 * HTTP_2_REQUEST_WINDOW;

/// Who is connected to whom, and what answers.
pub(super) struct Peer {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
    pub(super) app: App,
    pub(super) limits: ConnectionLimits,
}

impl Peer {
    /// Every request has the handle to itself. Answers without an end leave through `handoff`.
    pub(super) fn http1<I: Read + Write + Unpin>(
        self,
        io: I,
        scheme: Scheme,
        handle: ConnectionHandle,
        handoff: Handoff,
    ) -> http1::Connection<
        I,
        impl HttpService<Incoming, ResBody = BoxBody, Error = Infallible, Future: Send> + Send,
    > {
        let request_timeout = self.limits.request_timeout;
        let service = service_fn(move |request: Request<Incoming>| {
            let (version, handoff) = (request.version(), handoff.clone());
            let answered = self.answer(request, scheme.clone(), handle.clone());
            async move {
                let answer: Response<BoxBody> = answered.await;
                Ok::<_, Infallible>(handoff.pass(version, answer))
            }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(request_timeout)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service)
    }

    /// Requests share the handle: to end one of them, its stream is reset, not the handle cut. Each holds `requests` once until
    /// it is answered to its end.
    pub(super) fn http2<I: Read + Write + Unpin>(
        self,
        io: I,
        scheme: Scheme,
        requests: Arc<()>,
    ) -> http2::Connection<
        I,
        impl HttpService<Incoming, ResBody = UntilItsEnd, Error = Infallible, Future: Send> + Send,
        TokioExecutor,
    > {
        // The client is asked whether it is there, and has time to answer: among many streams, silence of one says nothing.
        let ping = self.limits.user_timeout / 2;
        let service = service_fn(move |request| {
            let request_holds = Arc::clone(&requests);
            let answered = self.answer(request, scheme.clone(), ConnectionHandle::default());
            async move {
                let answer: Response<BoxBody> = answered.await;
                Ok::<_, Infallible>(answer.map(|body| UntilItsEnd { body, _request: request_holds }))
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
        handle: ConnectionHandle,
    ) -> impl Future<Output = Response<BoxBody>> + Send + use<> {
        let mut request = poem::Request::from((request, self.local.clone(), self.remote.clone(), scheme));
        request.extensions_mut().insert(handle);
        let app = Arc::clone(&self.app);
        async move { app.get_response(request).await.into() }
    }
}

/// A body that counts as a request until it has gone out, or is given up.
pub(super) struct UntilItsEnd {
    body: BoxBody,
    _request: Arc<()>,
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
