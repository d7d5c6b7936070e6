//! Each request's id, and a line in the log when it has been answered.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http_body::Body as _;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use ports::outbound::Clock;
use tracing::debug;
use uuid::Uuid;

/// Logs each request at debug level. A stream's line comes when it opens, without a length, and another when it ends.
pub(super) struct AccessLog {
    pub(super) clock: Arc<dyn Clock>,
}

/// The request's id: the client's own, or one that was made for it.
#[derive(Clone, Default)]
pub(super) struct RequestId(Arc<str>);

/// A longer id is no id that a client of ours sends.
const MAX_REQUEST_ID_BYTES: usize = 200;

type BoxBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

impl RequestId {
    fn of(request: &Request) -> Self {
        let sent = request.header("x-request-id").filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
        Self(sent.map_or_else(|| Uuid::new_v4().to_string().into(), Into::into))
    }
}

impl<E: Endpoint> Middleware<E> for AccessLog {
    type Output = AccessLogEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        AccessLogEndpoint { clock: Arc::clone(&self.clock), inner }
    }
}

pub(super) struct AccessLogEndpoint<E> {
    clock: Arc<dyn Clock>,
    inner: E,
}

impl<E: Endpoint> Endpoint for AccessLogEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let began = self.clock.now();
        let request_id = RequestId::of(&request);
        request.set_data(request_id.clone());
        let (proto, method) = (request.version(), request.method().clone());
        let path = request.uri().path().to_owned();
        let mut response = self.inner.call(request).await?.into_response();
        let body: BoxBody = response.take_body().into();
        let bytes = body.size_hint().exact();
        response.set_body(body);
        let duration = self.clock.now().saturating_duration_since(began);
        debug!(
            { "request-id" } = &*request_id.0,
            proto = ?proto,
            method = %method,
            status = response.status().as_u16(),
            path,
            duration = duration.as_secs_f64() * 1000.0,
            bytes,
            "access-log"
        );
        Ok(response)
    }
}

/// Logs that a stream has ended, when it is dropped.
pub(super) struct StreamLog {
    pub(super) request_id: RequestId,
    pub(super) opened: Instant,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bytes: u64,
}

impl Drop for StreamLog {
    fn drop(&mut self) {
        let duration = self.clock.now().saturating_duration_since(self.opened);
        debug!(
            { "request-id" } = &*self.request_id.0,
            duration = duration.as_secs_f64() * 1000.0,
            bytes = self.bytes,
            "stream ended"
        );
    }
}
