//! Each request's id, and a line in the log when it has been answered.

use std::sync::Arc;

use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use ports::outbound::Clock;
use tracing::debug;
use uuid::Uuid;

/// Logs each request at debug level. A stream's line comes when it opens.
pub(super) struct AccessLog {
    pub(super) clock: Arc<dyn Clock>,
}

/// The request's id: the client's own, or one that was made for it.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// A longer id is no id that a client of ours sends.
const MAX_REQUEST_ID_BYTES: usize = 200;

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
        let response = self.inner.call(request).await?.into_response();
        let duration = self.clock.now().saturating_duration_since(began);
        debug!(
            { "request-id" } = &*request_id.0,
            proto = ?proto,
            method = %method,
            status = response.status().as_u16(),
            path,
            duration = duration.as_secs_f64() * 1000.0,
            "access-log"
        );
        Ok(response)
    }
}
