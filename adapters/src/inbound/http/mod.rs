//! The SSE endpoint with its tickets, the language API and their OpenAPI description.

mod api;
mod client_address;
mod credentials;
mod docs;
mod event_stream;
mod fields;
mod language;
mod middleware;
mod problem;
mod tag_text;
mod tickets;
mod types_text;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use ipnet::IpNet;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint as _, Response, Route, endpoint::make_sync, http::Method,
    middleware::SetHeader,
};
use poem_openapi::{OpenApi as _, OpenApiService, payload::Payload as _, registry::MetaOperation};
use ports::{
    inbound::{Adopt, ChooseLanguage, ContinuedStream, Subscribe},
    outbound::{Clock, Metrics, Tickets, TokenVerifier, Traces},
};
use tokio::sync::watch;

use self::{
    api::{EventStream, StreamApi},
    event_stream::EventStreamBody,
    language::LanguageApi,
    middleware::{AccessLog, AuditLog, ByPolicy},
    tickets::{TicketAdmission, TicketApi},
};
pub use self::{
    event_stream::EventFrames,
    middleware::{AuditPolicy, CrossOrigin},
};
use crate::{
    http_server::{App, ConnectionHandle},
    web::{self, page::Source},
};

/// The routes by which requests are counted.
const ROUTES: &[&str] = &[
    "/ocs/v2.php/apps/notifications/api/v1/notifications/sse",
    "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language",
    "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/ticket",
    "/sse",
    "/sse/ticket",
    "/docs",
    "/openapi.json",
    "/publish",
];

/// The dependencies and settings of the endpoint.
#[derive(Clone)]
pub struct HttpApi {
    /// Opens streams.
    pub subscribe: Arc<dyn Subscribe>,
    /// Lets users choose their language.
    pub choose_language: Arc<dyn ChooseLanguage>,
    /// Verifies tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Issues and redeems tickets.
    pub tickets: Arc<dyn Tickets>,
    /// The networks of the edges whose tickets are accepted. If there are none, tickets are off. It may change while requests are answered.
    pub ticket_clients: watch::Receiver<Vec<IpNet>>,
    /// Counts rejected requests.
    pub metrics: Arc<dyn Metrics>,
    /// The clock for the access log and the audit log.
    pub clock: Arc<dyn Clock>,
    /// Continues the traces of requests.
    pub traces: Arc<dyn Traces>,
    /// The policy for cross-origin requests. It may change while requests are answered.
    pub cross_origin: watch::Receiver<CrossOrigin>,
    /// The policy of the audit log. It may change while streams are open.
    pub audit: watch::Receiver<AuditPolicy>,
    /// The path prefix of all routes, `/` for none.
    pub root: String,
    /// The version in `X-Sse-Version`, a header of every response.
    pub version: &'static str,
}

impl HttpApi {
    /// Returns the OpenAPI description as JSON.
    #[must_use]
    pub fn specification(self) -> String {
        self.service().spec()
    }

    /// Returns the whole application for clients: streams, language API, their description, and the routes that `extend` adds below the
    /// root.
    #[must_use]
    pub fn app(self, extend: impl FnOnce(Route) -> Route) -> App {
        let (clock, cross_origin, root) =
            (Arc::clone(&self.clock), self.cross_origin.clone(), self.root.clone());
        // In rejections too, as in the built-in service: it shows an administrator where a path leads.
        let version = SetHeader::new().overriding("x-sse-version", self.version);
        let (document, page) = (self.clone(), self.clone());
        let document = rendered_once("application/json", move || document.clone().specification());
        // The page has 1.5 MB and is rarely requested, so it is rendered at the first request.
        let page = rendered_once("text/html; charset=utf-8", move || {
            docs::complete(&page.clone().service().swagger_ui_html())
        });
        let page = page.with(web::page::headers(Source::Inline, Source::Inline));
        let operations = Arc::new(self.service().into_endpoint().around(language::limit_body));
        let routes = Route::new()
            .at("/openapi.json", web::get(document))
            .nest("/docs", Route::new().at("/", web::get(page)));
        let routes = documented_paths().into_iter().fold(routes, |routes, (path, methods)| {
            routes.at(path, web::with_methods(methods, Arc::clone(&operations)))
        });
        let routes = extend(routes);
        let routes = if root == "/" { routes } else { Route::new().nest(&root, routes) };
        let answered =
            routes.catch_all_error(problem::error_response).with(ByPolicy(cross_origin)).with(version);
        App::new(answered.with(AccessLog { clock }), &root, ROUTES)
    }

    fn service(self) -> OpenApiService<(StreamApi, TicketApi, LanguageApi), ()> {
        let (root, version) = (self.root, self.version);
        let languages = LanguageApi {
            choose: self.choose_language,
            verifier: Arc::clone(&self.verifier),
            metrics: Arc::clone(&self.metrics),
        };
        let admission = TicketAdmission {
            tickets: self.tickets,
            clients: self.ticket_clients,
            metrics: Arc::clone(&self.metrics),
        };
        let tickets = TicketApi { admission: admission.clone(), verifier: Arc::clone(&self.verifier) };
        let streams = StreamApi {
            subscribe: self.subscribe,
            verifier: self.verifier,
            tickets: admission,
            metrics: self.metrics,
            traces: self.traces,
            audit: AuditLog { policy: self.audit, clock: self.clock },
            version,
        };
        OpenApiService::new((streams, tickets, languages), "ocis-sse", version)
            .description(
                "Pushes events about a user's files and shares to the user's clients as Server-Sent Events. \
                 Errors are problem details (RFC 9457).",
            )
            .server(root)
    }
}

/// Continues streams of another process.
pub struct ContinuedStreams {
    /// Continues the streams.
    pub adopt: Arc<dyn Adopt>,
    /// The clock of the audit log.
    pub clock: Arc<dyn Clock>,
    /// The policy of the audit log.
    pub audit: watch::Receiver<AuditPolicy>,
}

impl ContinuedStreams {
    /// Continues a stream on the connection `handle`. Returns the rest of the response's body.
    #[must_use]
    pub fn body(&self, stream: ContinuedStream, handle: ConnectionHandle) -> poem::Body {
        let audit =
            AuditLog { policy: self.audit.clone(), clock: Arc::clone(&self.clock) }.continued(&stream);
        EventStreamBody::new(self.adopt.adopt(stream, handle.connection()), handle, audit).into_body()
    }
}

/// Returns the paths of the OpenAPI description with their methods.
fn documented_paths() -> BTreeMap<String, Vec<Method>> {
    let mut paths = BTreeMap::<_, Vec<_>>::new();
    for path in <(StreamApi, TicketApi, LanguageApi)>::meta().into_iter().flat_map(|api| api.paths) {
        paths.entry(path.path).or_default().extend(path.operations.iter().flat_map(methods));
    }
    paths
}

/// Returns the methods of an operation. HEAD is answered like GET, unless GET would open a stream.
fn methods(operation: &MetaOperation) -> impl Iterator<Item = Method> {
    let mut contents = operation.responses.responses.iter().flat_map(|response| &response.content);
    let is_stream = contents.any(|content| content.content_type == EventStream::CONTENT_TYPE);
    let head = (operation.method == Method::GET && !is_stream).then_some(Method::HEAD);
    [operation.method.clone()].into_iter().chain(head)
}

/// Returns an endpoint whose text is rendered at the first request and then shared by all responses.
fn rendered_once(media_type: &'static str, render: impl Fn() -> String + Send + Sync) -> impl Endpoint {
    let text = OnceLock::new();
    make_sync(move |_| {
        let text: &Bytes = text.get_or_init(|| render().into());
        Response::builder().content_type(media_type).body(text.clone())
    })
}
