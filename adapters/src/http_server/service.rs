//! What answers the requests of one connection.

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
    admission::{AnswerPermit, Connections},
    refusal::Refusal,
    request_head,
};

/// The largest piece of a body. hyper asks for the next one when the client has taken enough of those before, which shows its progress.
const PIECE_BYTES: usize = 64 * 1024;
/// The route of requests that the application does not see.
const NO_ROUTE: &str = "none";

/// Who is connected to whom, and what answers.
pub(super) struct Service {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
    pub(super) app: App,
    pub(super) limits: ConnectionLimits,
    pub(super) connections: Arc<Connections>,
}

impl Service {
    /// Answers a request. The answer carries `exchange` and ends with it; `handle` is the connection or stream it goes to.
    pub(super) fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        scheme: Scheme,
        handle: ConnectionHandle,
        exchange: Exchange,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<> {
        let service = Arc::clone(self);
        async move {
            let is_head = request.method() == Method::HEAD;
            let (route, permit, answer) = service.respond(request, scheme, handle).await;
            exchange.answered();
            service.connections.metrics().answered(route, answer.status().as_u16());
            let answer = if is_head { without_body(answer) } else { answer };
            answer.map(|body| AnswerBody { body, rest: Bytes::new(), exchange, _permit: permit })
        }
    }

    /// Returns the answer with the route that it counts for. An ordinary answer takes a permit, so that those that nobody reads are limited; a
    /// stream takes none, so that they do not keep it out.
    async fn respond(
        &self,
        request: Request<Incoming>,
        scheme: Scheme,
        handle: ConnectionHandle,
    ) -> (&'static str, Option<AnswerPermit>, Response<BoxBody>) {
        let Self { local, remote, app, limits, connections } = self;
        let ordinary = |route, permit: Option<AnswerPermit>, answer| match permit {
            Some(permit) => (route, Some(permit), answer),
            None => (route, None, too_many_answers()),
        };
        if let Err(refusal) = request_head::check(&request) {
            return ordinary(NO_ROUTE, connections.begin_answer(), refusal.answer());
        }
        let route = app.route(request.uri().path());
        // A body that is still to come may keep a request in progress for long.
        let awaits_body = !request.body().is_end_stream();
        let permit = if awaits_body { connections.begin_answer() } else { None };
        if awaits_body && permit.is_none() {
            return (route, None, too_many_answers());
        }
        let mut request = poem::Request::from((request, local.clone(), remote.clone(), scheme));
        request.extensions_mut().insert(handle);
        limit_time_of_body(&mut request, limits);
        let answer: Response<BoxBody> = app.answer(request).await.into();
        if answer.body().size_hint().exact().is_none() {
            return (route, None, answer);
        }
        ordinary(route, permit.or_else(|| connections.begin_answer()), answer)
    }
}

/// Nothing of it can wait for the client's flow control.
fn too_many_answers() -> Response<BoxBody> {
    let mut answer = without_body(Refusal::TOO_MANY_ANSWERS.answer());
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// The same head, as HEAD asks for it (RFC 9110, 9.3.2).
fn without_body(answer: Response<BoxBody>) -> Response<BoxBody> {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, BoxBody::new(Empty::new().map_err(|never| match never {})))
}

/// The body of an answer in pieces, with what it counts as until it has gone out or is given up.
pub(super) struct AnswerBody {
    pub(super) body: BoxBody,
    /// What is left of the last frame.
    rest: Bytes,
    pub(super) exchange: Exchange,
    _permit: Option<AnswerPermit>,
}

#[cfg(test)]
impl AnswerBody {
    pub(super) fn new(body: BoxBody, exchange: Exchange) -> Self {
        Self { body, rest: Bytes::new(), exchange, _permit: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request has to arrive within the same time as its head.
fn limit_time_of_body(request: &mut poem::Request, limits: &ConnectionLimits) {
    let body: BoxBody = request.take_body().into();
    let body = if body.is_end_stream() {
        body
    } else {
        BoxBody::new(TimelyBody { body, deadline: Box::pin(sleep(limits.request_timeout)) })
    };
    request.set_body(body);
}

/// The body of a request that fails when it has not arrived in time.
struct TimelyBody {
    body: BoxBody,
    deadline: Pin<Box<Sleep>>,
}

impl Body for TimelyBody {
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
