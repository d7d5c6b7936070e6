//! The operations that open streams. Their doc comments are the OpenAPI description.

use std::{sync::Arc, time::Duration};

use domain::type_filter::TypeFilter;
use poem::{
    IntoResponse, Request, Response,
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
    outbound::{Metrics, TokenVerifier, TraceHeaders, Traces},
};

use tracing::{Span, field, info_span};

use crate::http_server::ConnectionHandle;

use super::{
    credentials::{Credentials, Denied, StreamCredentials},
    event_stream::EventStreamBody,
    fields::{accept_language, list},
    middleware::{AuditLog, RequestId},
    problem::Problem,
    tickets::TicketAdmission,
    types_text::TypesText,
};

/// The dependencies of the operations.
pub(super) struct StreamApi {
    pub(super) subscribe: Arc<dyn Subscribe>,
    pub(super) verifier: Arc<dyn TokenVerifier>,
    pub(super) tickets: TicketAdmission,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) traces: Arc<dyn Traces>,
    pub(super) audit: AuditLog,
    pub(super) version: &'static str,
}

#[expect(clippy::unused_async, reason = "poem-openapi takes async operations only")]
#[OpenApi]
impl StreamApi {
    /// Follow the user's notifications
    ///
    /// Opens a stream of Server-Sent Events (WHATWG HTML, 9.2) with every event for the user of the token or ticket. The stream stays open until
    /// one side ends it. The service ends it at the latest when the token expires, or when the user's account is disabled or deleted.
    ///
    /// Each event has an `id`, its `data` (usually JSON) and its `event` type, such as `userlog-notification`, `item-renamed` or
    /// `postprocessing-finished`. Clients should ignore unknown types. Lines that start with a colon are comments, which keep the
    /// connection alive. An `id` without `data` is not an event; it updates the id with which to reconnect.
    ///
    /// Without a last event id the stream starts with the next published event. With one it starts with the event after that id, on any
    /// instance. If some of these events are no longer available, the first event has the type `stream-gap` and the data
    /// `{"last_event_id": …, "reason": "expired" | "limit" | "unknown"}`: the client has missed events and should fetch its state again.
    /// A client without a last event id that repeats the `X-Request-ID` of its previous stream continues that stream; events that may
    /// not have arrived are sent again.
    ///
    /// An event may have translations. The stream sends the one in the language that the user has chosen, otherwise in a language that
    /// the request accepts, otherwise the default text. A new choice applies to open streams as well.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse",
        method = "get",
        operation_id = "followNotifications"
    )]
    async fn follow(
        &self,
        request: &Request,
        credentials: StreamCredentials,
        /// The id of the last event that the client has received. Any text is accepted.
        #[oai(name = "Last-Event-ID")]
        _header: Header<Option<String>>,
        /// The last event id for clients that cannot set the header. The header takes precedence.
        last_event_id: Query<Option<String>>,
        /// The types of events to send, separated by commas; `share-*` stands for all types that start with `share-`. Without it, all
        /// events are sent. `stream-gap` is always sent.
        types: Query<Option<TypesText>>,
        /// The preferred languages of translated events, if the user has chosen none (RFC 9110, 12.5.4).
        #[oai(name = "Accept-Language")]
        _accept_language: Header<Option<String>>,
    ) -> Answer {
        self.admit(request, &credentials.into(), last_event_id.0, types.0.as_ref())
    }

    /// Follow the user's notifications (short path)
    ///
    /// The same operation as at the longer path of the platform's API.
    #[oai(path = "/sse", method = "get", operation_id = "followNotificationsByShortPath")]
    async fn follow_by_short_path(
        &self,
        request: &Request,
        credentials: StreamCredentials,
        /// The id of the last event that the client has received. Any text is accepted.
        #[oai(name = "Last-Event-ID")]
        _header: Header<Option<String>>,
        /// The last event id for clients that cannot set the header. The header takes precedence.
        last_event_id: Query<Option<String>>,
        /// The types of events to send, separated by commas; `share-*` stands for all types that start with `share-`. Without it, all
        /// events are sent. `stream-gap` is always sent.
        types: Query<Option<TypesText>>,
        /// The preferred languages of translated events, if the user has chosen none (RFC 9110, 12.5.4).
        #[oai(name = "Accept-Language")]
        _accept_language: Header<Option<String>>,
    ) -> Answer {
        self.admit(request, &credentials.into(), last_event_id.0, types.0.as_ref())
    }
}

impl StreamApi {
    /// Opens a stream within a span, which covers the admission but not the stream.
    fn admit(
        &self,
        request: &Request,
        credentials: &Credentials,
        last_event_id: Option<String>,
        types: Option<&TypesText>,
    ) -> Answer {
        let span = span(request);
        // Without tracing the headers of the trace are not parsed.
        if !span.is_disabled() {
            let headers = TraceHeaders {
                trace_parent: request.header("traceparent").unwrap_or_default().into(),
                trace_state: list(request.headers(), "tracestate"),
                baggage: list(request.headers(), "baggage"),
            };
            self.traces.continue_from(&span, headers);
        }
        let answer = span.in_scope(|| self.open(request, credentials, last_event_id, types));
        let status = answer.status();
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("error.type", status.as_str());
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    fn open(
        &self,
        request: &Request,
        credentials: &Credentials,
        last_event_id: Option<String>,
        types: Option<&TypesText>,
    ) -> Answer {
        let by_ticket = self.tickets.principal(request);
        let by_token = || credentials.principal(request, &*self.verifier, &*self.metrics);
        let principal = match by_ticket.unwrap_or_else(by_token) {
            Ok(principal) => principal,
            Err(denied) => return denied.into(),
        };
        let types = match types.map(|types| TypeFilter::parse(&types.0)).transpose() {
            Ok(types) => types,
            Err(invalid) => {
                let problem = Problem::new(StatusCode::BAD_REQUEST, format!("types: {invalid}"));
                return Answer::BadRequest(Json(problem));
            }
        };
        // A request that did not come through `http_server` has no connection, for example in the fuzz target.
        let handle = request.data::<ConnectionHandle>().cloned().unwrap_or_default();
        let request_id = request.data::<RequestId>().cloned();
        // poem would ignore a header that is not ASCII.
        let header = request.headers().get("last-event-id");
        let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let user = principal.user.clone();
        let stream = StreamRequest {
            principal,
            last_event_id: header.or(last_event_id),
            request: request_id.as_ref().and_then(RequestId::sent_by_client),
            accept_language: accept_language(request),
            types,
        };
        match self.subscribe.subscribe(stream, handle.connection()) {
            Ok(Subscription { language, stream }) => {
                let language = language.to_string();
                let audit = self.audit.opened(request, &user);
                let body = EventStreamBody::new(stream, handle, audit);
                Answer::Open(EventStream(body), "no-cache".into(), "no".into(), self.version.into(), language)
            }
            Err(rejected) => Answer::rejected(rejected),
        }
    }
}

/// Creates the span of a stream's admission, with the attributes of OpenTelemetry's conventions for HTTP. The query is left out, because it may
/// contain a token.
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
    /// The stream is open. The response head is sent immediately, before any event.
    #[oai(status = 200)]
    Open(
        EventStream,
        /// Always `no-cache`, as in the built-in service. With `no-store` Firefox opens a second stream only when the first one has ended.
        #[oai(header = "Cache-Control")]
        String,
        /// Always `no`, so that proxies do not buffer events.
        #[oai(header = "X-Accel-Buffering")]
        String,
        /// The version of the service.
        #[oai(header = "X-Sse-Version")]
        String,
        /// The preferred language of translated events. A comment announces a change.
        #[oai(header = "Content-Language")]
        String,
    ),
    /// The list of event types is not valid.
    #[oai(status = 400, content_type = "application/problem+json")]
    BadRequest(Json<Problem>),
    /// The token is missing or not valid: it has expired, was not issued by the platform, names no user, or was issued before the user's
    /// account was disabled or deleted. Or the ticket is not valid, or is not accepted from this address.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(
        Json<Problem>,
        /// `Bearer`, with `error="invalid_token"` if the request has a token.
        #[oai(header = "WWW-Authenticate")]
        String,
    ),
    /// The token is valid but gives no access to the user's events, for example because it is the token of a public share.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// The user has reached the limit of open streams.
    #[oai(status = 429, content_type = "application/problem+json")]
    TooMany(
        Json<Problem>,
        /// The number of seconds after which to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
    /// No stream can be opened now: the service is stopping or has reached its limit of open streams.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(
        Json<Problem>,
        /// The number of seconds after which to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl Answer {
    fn status(&self) -> StatusCode {
        match self {
            Self::Open(..) => StatusCode::OK,
            Self::BadRequest(..) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(..) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(..) => StatusCode::FORBIDDEN,
            Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(..) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn rejected(rejected: SubscribeError) -> Self {
        let problem = |status| Json(Problem::new(status, rejected.to_string()));
        match rejected {
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

/// Returns `time` in seconds for `Retry-After` (RFC 9110, 10.2.3), rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// An event stream. Its frames are encoded already, and shared by all streams. poem's own encoder would encode each event for each stream,
/// and would let a line break in an event type inject fields.
pub(super) struct EventStream(EventStreamBody);

impl Payload for EventStream {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    /// Returns the schema of a single event. Before OpenAPI 3.2, which adds `itemSchema`, the items of a stream cannot be described
    /// otherwise.
    fn schema_ref() -> MetaSchemaRef {
        let field = |description, example: &str| {
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some(description),
                example: Some(example.into()),
                ..MetaSchema::new("string")
            }))
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("One event. Each field is a line; an empty line ends the event."),
            required: vec!["id", "data", "event"],
            properties: vec![
                ("id", field("The id with which to reconnect.", "19ab4cf02d1-5123")),
                ("data", field("The content, usually JSON.", r#"{"itemid":"a$b!c"}"#)),
                ("event", field("The event type.", "item-renamed")),
            ],
            ..MetaSchema::new("object")
        }))
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        Response::builder().header(header::CONTENT_TYPE, Self::CONTENT_TYPE).body(self.0.into_body())
    }
}
