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
mod tag_text;
mod token_cookie;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use poem::{Endpoint, EndpointExt, IntoEndpoint as _, Response, Route, endpoint::make_sync, http::Method};
use poem_openapi::{OpenApi as _, OpenApiService, payload::Payload as _, registry::MetaOperation};
use ports::{
    inbound::{ChooseLanguage, Subscribe},
    outbound::{Clock, Metrics, TokenVerifier, Traces},
};

use self::{
    access_log::AccessLog,
    api::{Api, EventStream},
    language::LanguageApi,
};
pub use self::{cors::CrossOrigin, frame::EventFrames};
use crate::{
    http_server::App,
    web::{self, page::Source},
};

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
        let (document, page) = (self.clone(), self.clone());
        let document = made_once("application/json", move || document.clone().specification());
        // It is a million and a half bytes, and hardly ever asked for.
        let page = made_once("text/html; charset=utf-8", move || page.clone().service().swagger_ui_html());
        let page = page.with(web::page::headers(Source::Inline, Source::Inline));
        let operations = Arc::new(self.service().into_endpoint().around(language::limit_body));
        let routes = Route::new()
            .at("/openapi.json", web::get(document))
            .nest("/docs", Route::new().at("/", web::get(page)));
        let routes = described().into_iter().fold(routes, |routes, (path, methods)| {
            routes.at(path, web::with_methods(methods, Arc::clone(&operations)))
        });
        let routes = extend(routes);
        let routes = if root == "/" { routes } else { Route::new().nest(&root, routes) };
        let answered = routes.catch_all_error(problem::unanswered).with(cross_origin);
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

/// The paths of the description, with the methods that they take.
fn described() -> BTreeMap<String, Vec<Method>> {
    let mut paths = BTreeMap::<_, Vec<_>>::new();
    for path in <(Api, LanguageApi)>::meta().into_iter().flat_map(|api| api.paths) {
        paths.entry(path.path).or_default().extend(path.operations.iter().flat_map(methods));
    }
    paths
}

/// The methods that lead to an operation. HEAD is answered like GET, unless GET would open a stream.
fn methods(operation: &MetaOperation) -> impl Iterator<Item = Method> {
    let mut contents = operation.responses.responses.iter().flat_map(|response| &response.content);
    let is_stream = contents.any(|content| content.content_type == EventStream::CONTENT_TYPE);
    let head = (operation.method == Method::GET && !is_stream).then_some(Method::HEAD);
    [operation.method.clone()].into_iter().chain(head)
}

/// Answers with a text that is made when it is first asked for, and then shared by all answers.
fn made_once(media_type: &'static str, make: impl Fn() -> String + Send + Sync) -> impl Endpoint {
    let text = OnceLock::new();
    make_sync(move |_| {
        let text: &Bytes = text.get_or_init(|| make().into());
        Response::builder().content_type(media_type).body(text.clone())
    })
}
