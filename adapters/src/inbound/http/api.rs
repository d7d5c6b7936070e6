//! The operations, as the OpenAPI description shows them.

use std::{sync::Arc, time::Duration};

use poem::{
    Body, IntoResponse, Request, Response,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Query},
    payload::{Json, Payload},
    registry::{MetaSchema, MetaSchemaRef},
};
use ports::{
    inbound::{StreamRequest, Subscribe, SubscribeError, Subscription},
    outbound::{Clock, Metrics, TokenVerifier, TraceHeaders, Traces},
};

use tracing::{Span, field, info_span};

use crate::http_server::ConnectionHandle;

use super::{
    access_log::{RequestId, StreamLog},
    body::EventStreamBody,
    credentials::{Credentials, Denied},
    fields::{accept_language, list},
    problem::Problem,
};

/// What the operations need.
pub(super) struct Api {
    pub(super) subscribe: Arc<dyn Subscribe>,
    pub(super) verifier: Arc<dyn TokenVerifier>,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) traces: Arc<dyn Traces>,
    pub(super) version: &'static str,
}

#[expect(clippy::unused_async, reason = "poem-openapi takes async operations only")]
#[OpenApi]
impl Api {
    /// Follow one's own notifications
    ///
    /// Opens a stream of Server-Sent Events (WHATWG HTML, 9.2) with every event for the user whom the token names. It
    /// stays open until one side ends it; the service ends it at the latest when the token expires, or when the user's account
    /// is disabled or deleted.
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
    ///
    /// An event may have been published in several languages. It comes in the one that the user has chosen, else in one that the
    /// request accepts, else as it is meant for everybody; each time as the choice is then, on open streams too.
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
        /// The languages in which to have events, where there is a choice and the user has chosen none (RFC 9110, 12.5.4).
        #[oai(name = "Accept-Language")]
        _accept_language: Header<Option<String>>,
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
        /// The languages in which to have events, where there is a choice and the user has chosen none (RFC 9110, 12.5.4).
        #[oai(name = "Accept-Language")]
        _accept_language: Header<Option<String>>,
    ) -> Answer {
        self.admit(request, &credentials, last_event_id.0)
    }
}

impl Api {
    /// The span is as long as the admission, not as the stream.
    fn admit(&self, request: &Request, credentials: &Credentials, last_event_id: Option<String>) -> Answer {
        let span = span(request);
        // Without tracing, what other services say of it is not even looked at.
        if !span.is_disabled() {
            let headers = TraceHeaders {
                trace_parent: request.header("traceparent").unwrap_or_default().into(),
                trace_state: list(request.headers(), "tracestate"),
                baggage: list(request.headers(), "baggage"),
            };
            self.traces.continue_from(&span, headers);
        }
        let answer = span.in_scope(|| self.open(request, credentials, last_event_id));
        let status = answer.status();
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("error.type", status.as_str());
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    fn open(&self, request: &Request, credentials: &Credentials, last_event_id: Option<String>) -> Answer {
        let principal = match credentials.principal(request, &*self.verifier, &*self.metrics) {
            Ok(principal) => principal,
            Err(denied) => return denied.into(),
        };
        // A request that did not come through our own server has no line.
        let handle = request.data::<ConnectionHandle>().cloned().unwrap_or_default();
        let opened = self.clock.now();
        let request_id = request.data::<RequestId>().cloned();
        // The framework would pass over a header that is no ASCII.
        let header = request.headers().get("last-event-id");
        let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let stream = StreamRequest {
            principal,
            last_event_id: header.or(last_event_id),
            request: request_id.as_ref().and_then(RequestId::chosen),
            accept_language: accept_language(request),
        };
        match self.subscribe.subscribe(stream, handle.connection()) {
            Ok(Subscription { language, stream }) => {
                let language = language.to_string();
                let log = StreamLog::open(request_id, opened, &self.clock);
                let body = EventStreamBody::new(stream, handle, log);
                Answer::Open(EventStream(body), "no-cache".into(), "no".into(), self.version.into(), language)
            }
            Err(refused) => Answer::refused(refused),
        }
    }
}

/// The span of a stream's admission, with the attributes that OpenTelemetry's conventions have for a request. The query is none of them, for
/// there may be a token in it.
fn span(request: &Request) -> Span {
    info_span!(
        "admit",
        "otel.kind" = "server",
        "otel.status_code" = field::Empty,
        "http.request.method" = request.method().as_str(),
        "http.response.status_code" = field::Empty,
        "url.scheme" = request.scheme().as_str(),
        "url.path" = request.original_uri().path(),
        "error.type" = field::Empty,
    )
}

#[derive(ApiResponse)]
enum Answer {
    /// The stream is open. The head comes at once, before any event.
    #[oai(status = 200)]
    Open(
        EventStream,
        /// Always `no-cache`, as the built-in service has it.
        #[oai(header = "Cache-Control")]
        String,
        /// Always `no`: proxies are asked to pass events on at once.
        #[oai(header = "X-Accel-Buffering")]
        String,
        /// The version of the service.
        #[oai(header = "X-Sse-Version")]
        String,
        /// The language that events come in, where there is a choice. A comment tells when it changes.
        #[oai(header = "Content-Language")]
        String,
    ),
    /// There is no token, or it is not valid: it has expired, was not made by the platform, names no user, or was issued before its
    /// user's account was disabled or deleted.
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
    fn status(&self) -> StatusCode {
        match self {
            Self::Open(..) => StatusCode::OK,
            Self::Unauthorized(..) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(..) => StatusCode::FORBIDDEN,
            Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(..) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn refused(refused: SubscribeError) -> Self {
        let problem = |status| Json(Problem::new(status, refused.to_string()));
        match refused {
            SubscribeError::Stopping { retry_after } | SubscribeError::TooMany { retry_after } => {
                Self::Unavailable(problem(StatusCode::SERVICE_UNAVAILABLE), seconds(retry_after))
            }
            SubscribeError::TooManyOfUser { retry_after } => {
                Self::TooMany(problem(StatusCode::TOO_MANY_REQUESTS), seconds(retry_after))
            }
        }
    }
}

impl From<Denied> for Answer {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized { challenge, problem } => {
                Self::Unauthorized(Json(problem), challenge.into())
            }
            Denied::Forbidden { problem } => Self::Forbidden(Json(problem)),
        }
    }
}

/// Whole seconds, as `Retry-After` has them (RFC 9110, 10.2.3): at least as long as `time`.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// An event stream. Its bytes come ready from the log: the framework's own encoder would let a line break in a type
/// inject fields, and would encode each event once for each stream.
pub(super) struct EventStream(EventStreamBody);

impl Payload for EventStream {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    /// Of each event: before OpenAPI 3.2, which has `itemSchema`, there is no other way to describe a stream.
    fn schema_ref() -> MetaSchemaRef {
        let field = |description, example: &str| {
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some(description),
                example: Some(example.into()),
                ..MetaSchema::new("string")
            }))
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("An event: each field is a line, and an empty line ends it."),
            required: vec!["id", "data", "event"],
            properties: vec![
                ("id", field("What to come back with.", "19ab4cf02d1-5123")),
                ("data", field("What happened, mostly JSON.", r#"{"itemid":"a$b!c"}"#)),
                ("event", field("Which kind of event it is.", "item-renamed")),
            ],
            ..MetaSchema::new("object")
        }))
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let body = Body::from(http_body_util::combinators::BoxBody::new(self.0));
        Response::builder().header(header::CONTENT_TYPE, Self::CONTENT_TYPE).body(body)
    }
}
