//! The SSE endpoint and its description, over HTTP.

mod access_log;
mod api;
mod body;
mod cors;
mod credentials;
#[cfg(test)]
mod event_stream_parser;
mod fields;
mod frame;
mod language;
mod problem;
mod queue;
mod tag_text;
mod token_cookie;

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt, IntoEndpoint as _, IntoResponse, Request, Route,
    endpoint::make_sync,
    error::MethodNotAllowedError,
    http::{Method, header},
    middleware::SetHeader,
    web::Html,
};
use poem_openapi::OpenApiService;
use ports::{
    inbound::{ChooseLanguage, Subscribe},
    outbound::{Clock, Metrics, TokenVerifier, Traces},
};

use self::{access_log::AccessLog, api::Api, language::LanguageApi};
pub use self::{
    cors::CrossOrigin,
    frame::EventFrames,
    queue::{Queue, QueueLimits, QueueReader, Queues},
};
use crate::http_server::App;

/// The page of the description has all that it needs in itself, and asks nobody but this service.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                           connect-src 'self'; frame-ancestors 'none'";

/// What requests are counted by.
const ROUTES: &[&str] = &[
    "/ocs/v2.php/apps/notifications/api/v1/notifications/sse",
    "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language",
    "/sse",
    "/docs",
    "/openapi.json",
    "/publish",
];

/// What the endpoint is made of.
#[derive(Clone)]
pub struct Http {
    /// Opens the streams.
    pub subscribe: Arc<dyn Subscribe>,
    /// Lets users choose their language.
    pub choose_language: Arc<dyn ChooseLanguage>,
    /// Tells whose token it is.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Where refusals are counted.
    pub metrics: Arc<dyn Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What ties a request to what led to it.
    pub traces: Arc<dyn Traces>,
    /// How events look; the relay has the same.
    pub frames: EventFrames,
    /// How much may wait for clients.
    pub limits: QueueLimits,
    /// Which other origins may read.
    pub cross_origin: CrossOrigin,
    /// The path below which everything lies, `/` for none.
    pub root: String,
    /// Told in `X-Sse-Version`.
    pub version: &'static str,
}

impl Http {
    /// The description alone, as JSON.
    #[must_use]
    pub fn specification(self) -> String {
        self.service().spec()
    }

    /// Everything that is served to clients: the stream, its description, and what `extend` adds below the same root.
    #[must_use]
    pub fn app(self, extend: impl FnOnce(Route) -> Route) -> App {
        let (clock, cross_origin, root) =
            (Arc::clone(&self.clock), self.cross_origin.clone(), self.root.clone());
        let described = self.clone();
        // It is a million and a half bytes and hardly ever asked for: it is made when it is.
        let page =
            Route::new().at("/", make_sync(move |_| Html(described.clone().service().swagger_ui_html())));
        let service = self.service();
        let specification = service.spec_endpoint();
        let policy = SetHeader::new().overriding(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
        let operations = Arc::new(service.into_endpoint().around(language::limit_body).map_to_response());
        let routes = Route::new()
            .at("/openapi.json", specification)
            .nest("/docs", page.with(policy))
            // Not all of `/`: the router would let nothing else stand there.
            .nest_no_strip("/ocs", Arc::clone(&operations))
            .nest_no_strip("/sse", operations);
        let routes = extend(routes);
        let routes = if root == "/" { routes } else { Route::new().nest(&root, routes) };
        let answered = routes.around(refuse_methods).catch_all_error(problem::unanswered).with(cross_origin);
        App::new(answered.with(AccessLog { clock }), &root, ROUTES)
    }

    fn service(self) -> OpenApiService<(Api, LanguageApi), ()> {
        let (root, version) = (self.root, self.version);
        let languages = LanguageApi {
            choose: self.choose_language,
            verifier: Arc::clone(&self.verifier),
            metrics: Arc::clone(&self.metrics),
        };
        let streams = Api {
            subscribe: self.subscribe,
            verifier: self.verifier,
            metrics: self.metrics,
            clock: self.clock,
            traces: self.traces,
            queues: Arc::new(Queues { limits: self.limits, frames: self.frames }),
            version,
        };
        OpenApiService::new((streams, languages), "ocis-sse", version)
            .description(
                "Pushes what happens to a user's files and shares to the user's browsers, as Server-Sent Events. \
                 Errors are problem details (RFC 9457).",
            )
            .server(root)
    }
}

/// Methods that a path does not have. A stream has no head without a body: the framework would answer HEAD by opening one.
async fn refuse_methods<E: Endpoint>(endpoint: Arc<E>, request: Request) -> poem::Result<poem::Response> {
    let allowed = if request.uri().path().ends_with("/sse/language") { "GET, PUT, DELETE" } else { "GET" };
    if request.method() == Method::HEAD {
        return Ok(problem::method_not_allowed(allowed));
    }
    match endpoint.call(request).await {
        Err(error) if error.is::<MethodNotAllowedError>() => Ok(problem::method_not_allowed(allowed)),
        answered => Ok(answered?.into_response()),
    }
}
