//! The service that passes the requests of one connection to the application.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONTENT_LENGTH, HeaderValue, RETRY_AFTER},
    http::uri::Scheme,
};
use poem::web::{LocalAddr, RemoteAddr};
use tokio::time::{Sleep, sleep};

use super::{
    App, BoxBody, ConnectionHandle, ConnectionLimits,
    activity::Exchange,
    admission::{Connections, ResponsePermit},
    rejection::Rejection,
    request_head,
};

/// Maximum size of a piece of a body, in bytes. hyper polls the next piece when the client has taken enough, which shows its progress.
const MAX_PIECE_BYTES: usize = 64 * 1024;
/// The route label of requests that are rejected before they reach the application.
const NO_ROUTE: &str = "none";

/// The addresses of a connection and the application that answers its requests.
pub(super) struct Service {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
    pub(super) app: App,
    pub(super) limits: ConnectionLimits,
    pub(super) connections: Arc<Connections>,
}

impl Service {
    /// Answers a request. The response body holds `exchange`; `handle` is that of the connection or HTTP/2 stream.
    pub(super) fn call(
        self: &Arc<Self>,
        request: Request<Incoming>,
        scheme: Scheme,
        handle: ConnectionHandle,
        exchange: Exchange,
    ) -> impl Future<Output = Response<ResponseBody>> + Send + use<> {
        let service = Arc::clone(self);
        async move {
            let is_head = request.method() == Method::HEAD;
            let (route, permit, response) = service.dispatch(request, scheme, handle).await;
            exchange.mark_answered();
            service.connections.metrics().answered(route, response.status().as_u16());
            let response = if is_head { without_body(response) } else { response };
            response.map(|body| ResponseBody { body, rest: Bytes::new(), exchange, _permit: permit })
        }
    }

    /// Returns the response and its route. An ordinary response takes a permit, which limits unread responses. An event stream takes none,
    /// so that unread responses cannot keep it out.
    async fn dispatch(
        &self,
        request: Request<Incoming>,
        scheme: Scheme,
        handle: ConnectionHandle,
    ) -> (&'static str, Option<ResponsePermit>, Response<BoxBody>) {
        let Self { local, remote, app, limits, connections } = self;
        let ordinary = |route, permit: Option<ResponsePermit>, response| match permit {
            Some(permit) => (route, Some(permit), response),
            None => (route, None, too_many_responses()),
        };
        if let Err(rejection) = request_head::check(&request) {
            return ordinary(NO_ROUTE, connections.start_response(), rejection.response());
        }
        let route = app.route(request.uri().path());
        // A request whose body is incomplete can stay in progress for long, so it needs a permit already.
        let awaits_body = !request.body().is_end_stream();
        let permit = if awaits_body { connections.start_response() } else { None };
        if awaits_body && permit.is_none() {
            return (route, None, too_many_responses());
        }
        let mut request = poem::Request::from((request, local.clone(), remote.clone(), scheme));
        request.extensions_mut().insert(handle);
        set_body_deadline(&mut request, limits);
        let response: Response<BoxBody> = app.answer(request).await.into();
        if response.body().size_hint().exact().is_none() {
            return (route, None, response);
        }
        ordinary(route, permit.or_else(|| connections.start_response()), response)
    }
}

/// Returns a 503 without a body, so that no bytes of it can wait for the client's flow control.
fn too_many_responses() -> Response<BoxBody> {
    let mut response = without_body(Rejection::TOO_MANY_RESPONSES.response());
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Returns the response to HEAD: the same head without the body (RFC 9110, 9.3.2).
fn without_body(response: Response<BoxBody>) -> Response<BoxBody> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, BoxBody::new(Empty::new().map_err(|never| match never {})))
}

/// The body of a response in pieces. It holds the response's exchange and permit until it is sent or dropped.
pub(super) struct ResponseBody {
    pub(super) body: BoxBody,
    /// The rest of the last frame.
    pub(super) rest: Bytes,
    pub(super) exchange: Exchange,
    _permit: Option<ResponsePermit>,
}

impl ResponseBody {
    /// Takes the next frame if nothing is left of the last one, so that `rest` has bytes until the body ends.
    pub(super) fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    #[cfg(test)]
    pub(super) fn new(body: BoxBody, exchange: Exchange) -> Self {
        Self { body, rest: Bytes::new(), exchange, _permit: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(ready!(self.poll_rest(context)).map(|polled| {
            polled.map(|()| {
                let length = self.rest.len().min(MAX_PIECE_BYTES);
                Frame::data(self.rest.split_to(length))
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Gives the request's body a deadline: the request timeout, which starts again after the head.
fn set_body_deadline(request: &mut poem::Request, limits: &ConnectionLimits) {
    let body: BoxBody = request.take_body().into();
    let body = if body.is_end_stream() {
        body
    } else {
        BoxBody::new(DeadlineBody { body, deadline: Box::pin(sleep(limits.request_timeout)) })
    };
    request.set_body(body);
}

/// The body of a request; it fails when the deadline passes.
struct DeadlineBody {
    body: BoxBody,
    deadline: Pin<Box<Sleep>>,
}

impl Body for DeadlineBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
