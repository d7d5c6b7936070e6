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
            let Self { local, remote, app, limits, connections } = &*service;
            let is_head = request.method() == Method::HEAD;
            let (route, permit, answer) = match (request_head::check(&request), connections.begin_answer()) {
                (Ok(()), Some(permit)) => {
                    let route = app.route(request.uri().path());
                    let mut request = poem::Request::from((request, local.clone(), remote.clone(), scheme));
                    request.extensions_mut().insert(handle);
                    limit_time_of_body(&mut request, limits);
                    (route, Some(permit), app.answer(request).await.into())
                }
                (Ok(()), None) => (NO_ROUTE, None, too_many_answers()),
                (Err(refusal), permit) => (NO_ROUTE, permit, refusal.answer()),
            };
            exchange.answered();
            connections.metrics().answered(route, answer.status().as_u16());
            let answer: Response<BoxBody> = if is_head { without_body(answer) } else { answer };
            answer.map(|body| {
                // Streams have limits of their own.
                let permit = permit.filter(|_| body.size_hint().exact().is_some());
                AnswerBody { body, rest: Bytes::new(), exchange, _permit: permit }
            })
        }
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
