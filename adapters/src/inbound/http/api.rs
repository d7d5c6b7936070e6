//! The operations, as the OpenAPI description shows them.

use std::{sync::Arc, time::Duration};

use poem::{
    Body, IntoResponse, Request, Response,
    http::{HeaderMap, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Query},
    payload::{Json, Payload},
    registry::{MetaSchema, MetaSchemaRef},
};
use ports::{
    inbound::{Refused, StreamRequest, Subscribe},
    outbound::{AuthenticationFailure, Clock, Metrics, Origin, TokenRejected, TokenVerifier, Traces},
};

use tracing::{info, info_span};

use super::{
    super::server::Line,
    access_log::{RequestId, StreamLog},
    body::EventStreamBody,
    credentials::Credentials,
    problem::Problem,
    queue::{Queue, QueueReader, Queues},
};

/// What the operations need.
pub(super) struct Api {
    pub(super) subscribe: Arc<dyn Subscribe>,
    pub(super) verifier: Arc<dyn TokenVerifier>,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) traces: Arc<dyn Traces>,
    pub(super) queues: Arc<Queues>,
    pub(super) version: &'static str,
}

#[expect(clippy::unused_async, reason = "poem-openapi takes async operations only")]
#[OpenApi]
impl Api {
    /// Follow one's own notifications
    ///
    /// Opens a stream of Server-Sent Events (WHATWG HTML, 9.2) with every event for the user whom the token names. It
    /// stays open until one side ends it; the service ends it at the latest when the token expires.
    ///
    /// Each event has an `id`, its `data` (mostly JSON) and its `event` type, such as `userlog-notification`,
    /// `item-renamed` or `postprocessing-finished`. Types that a client does not know it should ignore. A line that
    /// begins with a colon is a comment that keeps the line alive. Now and then there is an `id` without data: it is no
    /// event, but the id to come back with.
    ///
    /// Without a last event id the stream begins with what is published from now on. With one it begins with all that
    /// came after that event, on whatever instance. Where that is not known any more, there is an event of type
    /// `stream-gap` first, with `{"last_event_id": …, "reason": "expired" | "limit" | "unknown"}` as its data: the client
    /// has missed something and should fetch its state again. A client that sends no last event id, but the same
    /// `X-Request-ID` as with its stream before, continues that one; what may not have arrived then comes again.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse",
        method = "get",
        operation_id = "followNotifications"
    )]
    async fn follow(
        &self,
        request: &Request,
        credentials: Credentials,
        /// The id of the last event that the client has had; any text is accepted.
        #[oai(name = "Last-Event-ID")]
        _header: Header<Option<String>>,
        /// The same, for clients that cannot set the header, which counts more.
        last_event_id: Query<Option<String>>,
    ) -> Answer {
        self.admit(request, &credentials, last_event_id.0)
    }

    /// Follow one's own notifications, by a shorter path
    ///
    /// The same as the longer path of the platform's API.
    #[oai(path = "/sse", method = "get", operation_id = "followNotificationsByShortPath")]
    async fn follow_by_short_path(
        &self,
        request: &Request,
        credentials: Credentials,
        /// The id of the last event that the client has had; any text is accepted.
        #[oai(name = "Last-Event-ID")]
        _header: Header<Option<String>>,
        /// The same, for clients that cannot set the header, which counts more.
        last_event_id: Query<Option<String>>,
    ) -> Answer {
        self.admit(request, &credentials, last_event_id.0)
    }
}

impl Api {
    /// The span is as long as the admission, not as the stream.
    fn admit(&self, request: &Request, credentials: &Credentials, last_event_id: Option<String>) -> Answer {
        let span = info_span!("admit");
        // Without tracing, what other services say of it is not even looked at.
        if !span.is_disabled() {
            let origin = Origin {
                trace_parent: request.header("traceparent").unwrap_or_default().into(),
                trace_state: list(request.headers(), "tracestate"),
                baggage: list(request.headers(), "baggage"),
            };
            self.traces.continue_from(&span, origin);
        }
        span.in_scope(|| self.open(request, credentials, last_event_id))
    }

    fn open(&self, request: &Request, credentials: &Credentials, last_event_id: Option<String>) -> Answer {
        let Some(token) = credentials.token().filter(|token| !token.is_empty()) else {
            self.metrics.authentication_failed(AuthenticationFailure::Missing);
            return Answer::unauthorized("Bearer", "send the access token in x-access-token");
        };
        let principal = match self.verifier.verify(token) {
            Ok(principal) => principal,
            Err(rejected) => return self.reject(rejected),
        };
        // A request that did not come through our own server has no line.
        let line = request.data::<Line>().cloned().unwrap_or_default();
        let opened = self.clock.now();
        let queue = Arc::new(Queue::new(Arc::clone(&self.queues), line));
        let request_id = request.data::<RequestId>().cloned();
        // The framework would pass over a header that is no ASCII.
        let header = request.headers().get("last-event-id");
        let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let stream = StreamRequest {
            principal,
            last_event_id: header.or(last_event_id),
            request: request_id.as_ref().and_then(RequestId::chosen),
        };
        match self.subscribe.subscribe(stream, queue.clone()) {
            Ok(subscription) => Answer::Open(
                EventStream(EventStreamBody {
                    queue: QueueReader::new(queue),
                    _subscription: subscription,
                    log: StreamLog::open(request_id, opened, &self.clock),
                }),
                "no-cache".into(),
                "no".into(),
                self.version.into(),
            ),
            Err(refused) => Answer::refused(refused),
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

/// A list may come in several headers of one name, and is the same as in one (RFC 9110, 5.3).
fn list(headers: &HeaderMap, name: &str) -> String {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

/// RFC 6750, 3.1.
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

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
    /// The user has as many streams open as one user may have.
    #[oai(status = 429, content_type = "application/problem+json")]
    TooMany(
        Json<Problem>,
        /// After how many seconds to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
    /// No stream can be opened at present: the service is stopping, or has as many open as it may have.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(
        Json<Problem>,
        /// After how many seconds to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl Answer {
    fn unauthorized(challenge: &str, detail: impl Into<String>) -> Self {
        Self::Unauthorized(Json(Problem::new(StatusCode::UNAUTHORIZED, detail)), challenge.into())
    }

    fn refused(refused: Refused) -> Self {
        let problem = |status| Json(Problem::new(status, refused.to_string()));
        match refused {
            Refused::Stopping { retry_after } | Refused::TooMany { retry_after } => {
                Self::Unavailable(problem(StatusCode::SERVICE_UNAVAILABLE), seconds(retry_after))
            }
            Refused::TooManyOfUser { retry_after } => {
                Self::TooMany(problem(StatusCode::TOO_MANY_REQUESTS), seconds(retry_after))
            }
        }
    }
}

/// Whole seconds, as `Retry-After` has them (RFC 9110, 10.2.3): at least as long as `time`.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
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
