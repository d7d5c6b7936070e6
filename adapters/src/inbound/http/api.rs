//! The operations, as the OpenAPI description shows them.

use std::sync::Arc;

use poem::{Body, IntoResponse, Request, Response, http::StatusCode, http::header};
use poem_openapi::{
    ApiResponse, OpenApi,
    payload::{Json, Payload},
    registry::{MetaSchema, MetaSchemaRef},
};
use ports::{
    inbound::{Refused, Subscribe},
    outbound::{AuthenticationFailure, Clock, Metrics, TokenRejected, TokenVerifier, Traces},
};

use tracing::{info, info_span};

use super::{
    super::server::Line,
    access_log::{RequestId, StreamLog},
    body::EventStreamBody,
    credentials::Credentials,
    frame::EventFrames,
    problem::Problem,
    queue::{Queue, QueueLimits, QueueReader},
};

/// What the operations need.
pub(super) struct Api {
    pub(super) subscribe: Arc<dyn Subscribe>,
    pub(super) verifier: Arc<dyn TokenVerifier>,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) traces: Arc<dyn Traces>,
    pub(super) frames: EventFrames,
    pub(super) limits: QueueLimits,
    pub(super) version: &'static str,
}

#[expect(clippy::unused_async, reason = "poem-openapi takes async operations only")]
#[OpenApi]
impl Api {
    /// Follow one's own notifications
    ///
    /// Opens a stream of Server-Sent Events (WHATWG HTML, 9.2) with every event for the user whom the token names. It
    /// begins with what is published from now on, and stays open until one side ends it.
    ///
    /// Each event has an `id`, its `data` (mostly JSON) and its `event` type, such as `userlog-notification`,
    /// `item-renamed` or `postprocessing-finished`. Types that a client does not know it should ignore. A line that
    /// begins with a colon is a comment that keeps the line alive.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse",
        method = "get",
        operation_id = "followNotifications"
    )]
    async fn follow(&self, request: &Request, credentials: Credentials) -> Answer {
        self.admit(request, &credentials)
    }

    /// Follow one's own notifications, by a shorter path
    ///
    /// The same as the longer path of the platform's API.
    #[oai(path = "/sse", method = "get", operation_id = "followNotificationsByShortPath")]
    async fn follow_by_short_path(&self, request: &Request, credentials: Credentials) -> Answer {
        self.admit(request, &credentials)
    }
}

impl Api {
    /// The span is as long as the admission, not as the stream.
    fn admit(&self, request: &Request, credentials: &Credentials) -> Answer {
        let span = info_span!("admit");
        self.traces.continue_from(&span, request.header("traceparent").unwrap_or_default());
        span.in_scope(|| self.open(request, credentials))
    }

    fn open(&self, request: &Request, credentials: &Credentials) -> Answer {
        let Some(token) = credentials.token().filter(|token| !token.is_empty()) else {
            self.metrics.authentication_failed(AuthenticationFailure::Missing);
            return Answer::unauthorized("Bearer", "send the access token in x-access-token");
        };
        let user = match self.verifier.verify(token) {
            Ok(user) => user,
            Err(rejected) => return self.reject(rejected),
        };
        // A request that did not come through our own server has no line.
        let line = request.data::<Line>().cloned().unwrap_or_default();
        let opened = self.clock.now();
        let queue = Arc::new(Queue::new(self.limits, self.frames.clone(), line, opened));
        match self.subscribe.subscribe(&user, queue.clone()) {
            Ok(subscription) => Answer::Open(
                EventStream(EventStreamBody {
                    queue: QueueReader::new(queue),
                    _subscription: subscription,
                    log: StreamLog {
                        request_id: request.data::<RequestId>().cloned().unwrap_or_default(),
                        opened,
                        clock: Arc::clone(&self.clock),
                        bytes: 0,
                    },
                }),
                "no-cache".into(),
                "no".into(),
                self.version.into(),
            ),
            Err(Refused::Stopping) => {
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, Refused::Stopping.to_string());
                Answer::Unavailable(Json(problem), RETRY_AFTER_STOP_SECONDS)
            }
        }
    }

    fn reject(&self, rejected: TokenRejected) -> Answer {
        self.metrics.authentication_failed(AuthenticationFailure::Rejected(rejected));
        info!(reason = %rejected, "a stream was refused");
        match rejected {
            TokenRejected::Scope => {
                Answer::Forbidden(Json(Problem::new(StatusCode::FORBIDDEN, rejected.to_string())))
            }
            TokenRejected::Expired | TokenRejected::Invalid | TokenRejected::NoUser => {
                Answer::unauthorized(INVALID_TOKEN, rejected.to_string())
            }
        }
    }
}

/// RFC 6750, 3.1.
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

/// Another instance, or the next one, will have taken over by then.
const RETRY_AFTER_STOP_SECONDS: u32 = 5;

#[derive(ApiResponse)]
enum Answer {
    /// The stream is open. The head comes at once, before any event.
    #[oai(status = 200)]
    Open(
        EventStream,
        /// Always `no-cache`.
        #[oai(header = "Cache-Control")]
        String,
        /// Always `no`: proxies are asked to pass events on at once.
        #[oai(header = "X-Accel-Buffering")]
        String,
        /// The version of the service.
        #[oai(header = "X-Sse-Version")]
        String,
    ),
    /// There is no token, or it is not valid: it has expired, was not made by the platform, or names no user.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(
        Json<Problem>,
        /// `Bearer`, with `error="invalid_token"` when there was a token.
        #[oai(header = "WWW-Authenticate")]
        String,
    ),
    /// The token is valid, but gives no access to a user's own events; that of a public share, for example.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// No stream can be opened at present: the service is stopping.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(
        Json<Problem>,
        /// After how many seconds to try again.
        #[oai(header = "Retry-After")]
        u32,
    ),
}

impl Answer {
    fn unauthorized(challenge: &str, detail: impl Into<String>) -> Self {
        Self::Unauthorized(Json(Problem::new(StatusCode::UNAUTHORIZED, detail)), challenge.into())
    }
}

/// An event stream. Its bytes come ready from the queue: the framework's own encoder would let a line break in a type
/// inject fields, and would encode each event once for each stream.
struct EventStream(EventStreamBody);

impl Payload for EventStream {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some(
                "One event after the other: `id`, `data` and `event` lines, then an empty line.",
            ),
            example: Some(
                "id: 19ab4cf02d1-5123\ndata: {\"itemid\":\"a$b!c\"}\nevent: item-renamed\n\n".into(),
            ),
            ..MetaSchema::new("string")
        }))
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let body = Body::from(http_body_util::combinators::BoxBody::new(self.0));
        Response::builder().header(header::CONTENT_TYPE, Self::CONTENT_TYPE).body(body)
    }
}
