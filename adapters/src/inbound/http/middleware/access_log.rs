//! The access log and the request ids.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use domain::bookmark;
use http_body::Body as _;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use ports::outbound::Clock;
use tracing::debug;
use uuid::Uuid;

/// Logs each request at debug level. A stream is logged without a length when it opens.
pub(in crate::inbound::http) struct AccessLog {
    pub(in crate::inbound::http) clock: Arc<dyn Clock>,
}

/// The id of a request: sent by the client or generated.
#[derive(Clone)]
pub(in crate::inbound::http) enum RequestId {
    FromClient(bookmark::RequestId),
    Generated(Uuid),
}

type BoxBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

impl RequestId {
    fn from_request(request: &Request) -> Self {
        let from_client = request.header("x-request-id").and_then(|id| bookmark::RequestId::try_new(id).ok());
        from_client.map_or_else(|| Self::Generated(Uuid::new_v4()), Self::FromClient)
    }

    /// Returns the id if the client has sent it, so that it identifies the client's next stream too.
    pub(in crate::inbound::http) fn sent_by_client(&self) -> Option<bookmark::RequestId> {
        match self {
            Self::FromClient(id) => Some(id.clone()),
            Self::Generated(_) => None,
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromClient(id) => f.write_str(id.as_str()),
            Self::Generated(id) => id.fmt(f),
        }
    }
}

impl<E: Endpoint> Middleware<E> for AccessLog {
    type Output = AccessLogEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        AccessLogEndpoint { clock: Arc::clone(&self.clock), inner }
    }
}

pub(in crate::inbound::http) struct AccessLogEndpoint<E> {
    clock: Arc<dyn Clock>,
    inner: E,
}

impl<E: Endpoint> Endpoint for AccessLogEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let start = self.clock.now();
        let request_id = RequestId::from_request(&request);
        request.set_data(request_id.clone());
        let (proto, method) = (request.version(), request.method().clone());
        let path = request.uri().path().to_owned();
        let mut response = self.inner.call(request).await?.into_response();
        let body: BoxBody = response.take_body().into();
        let bytes = body.size_hint().exact();
        response.set_body(body);
        let duration = self.clock.now().saturating_duration_since(start);
        debug!(
            { "request-id" } = %request_id,
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
