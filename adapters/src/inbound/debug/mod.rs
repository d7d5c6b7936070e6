//! The debug server, with an address of its own: health checks, metrics and pages for administrators.

mod inspect;
mod probe;
mod profile;

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Request, Response, Route,
    endpoint::make_sync,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::SetHeader,
};
use ports::{
    inbound::{Inspect, Readiness},
    outbound::Clock,
};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use self::inspect::Inspection;
pub use self::probe::{Unhealthy, probe};
use crate::{
    http_server::App,
    web::{self, page::Source},
};

/// A page: its media type and a function that renders it.
pub type Page = (&'static str, Box<dyn Fn() -> String + Send + Sync>);

/// The routes of the debug server, by which requests are counted.
pub const ROUTES: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/config",
    "/inspect",
    "/inspect/live",
    "/inspect/streams",
    "/inspect/streams/end",
    "/debug/tracez",
    "/debug/pprof/",
    "/debug/pprof/profile",
];

/// The dependencies and settings of the debug server.
pub struct DebugServer {
    /// The readiness for `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// The data of the page at `/inspect`.
    pub inspect: Arc<dyn Inspect>,
    /// The clock for the rates on that page.
    pub clock: Arc<dyn Clock>,
    /// The version on that page.
    pub version: &'static str,
    /// The page at `/metrics`.
    pub metrics: Page,
    /// The page at `/config`.
    pub configuration: Page,
    /// The page at `/debug/tracez`, if it is enabled.
    pub spans: Option<Page>,
    /// Whether `/debug/pprof/` is enabled.
    pub profiles: bool,
    /// The bearer token for the pages; `None` opens them to everyone. Probes need no token. It may change while requests are answered.
    pub token: watch::Receiver<DebugToken>,
}

/// The bearer token of the debug server, if it has one.
pub type DebugToken = Option<Arc<str>>;

impl DebugServer {
    /// Returns the application. `/healthz`, `/readyz` and the page at `/inspect` are open to everyone. The token protects the data of that
    /// page, `/metrics`, `/config`, `/debug/pprof/`, `/debug/pprof/profile` and `/debug/tracez`.
    #[must_use]
    pub fn app(self) -> App {
        let inspection = Inspection::new(self.inspect, Arc::clone(&self.readiness), self.clock, self.version);
        let readiness = self.readiness;
        let health = make_sync(|_| "OK");
        let ready = make_sync(move |_| match readiness.check() {
            Ok(()) => (StatusCode::OK, "OK".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_string()),
        });
        let mut guarded = inspect::data_routes(Route::new(), &inspection)
            .at("/metrics", web::get(page(self.metrics)))
            .at("/config", web::get(page(self.configuration)));
        if let Some(spans) = self.spans {
            // Clients choose some of the text in a span, so no script may run on this page.
            let spans = page(spans).with(web::page::headers(Source::None, Source::Inline));
            guarded = guarded.at("/debug/tracez", web::get(spans));
        }
        if self.profiles {
            let profiling = profile::Profiling::default();
            let flame_graph = profile::flame_graph.data(profiling.clone());
            let flame_graph = flame_graph.with(web::page::headers(Source::Inline, Source::Inline));
            // HEAD would sample a whole profile too.
            guarded = guarded.at("/debug/pprof/", web::with_methods([Method::GET], flame_graph)).at(
                "/debug/pprof/profile",
                web::with_methods([Method::GET], profile::protobuf.data(profiling)),
            );
        }
        let token = self.token;
        let guarded = guarded
            .around(move |endpoint, request| require_token(token.borrow().clone(), endpoint, request))
            .with(SetHeader::new().overriding(header::CACHE_CONTROL, "no-store"));
        let open = Route::new().at("/healthz", web::get(health)).at("/readyz", web::get(ready));
        let routes = inspect::page_routes(open).nest_no_strip("/", guarded);
        let answered = routes.catch_all_error(async |error: poem::Error| error.into_response());
        App::new(answered.map_to_response(), "/", ROUTES)
    }
}

fn page((media_type, render): Page) -> impl Endpoint {
    make_sync(move |_| Response::builder().content_type(media_type).body(render()))
}

/// Whether the request had to have the token, and had it.
#[derive(Clone, Copy)]
struct TokenShown(bool);

/// Answers 401 to a request without the token.
async fn require_token<E: Endpoint>(
    token: DebugToken,
    endpoint: Arc<E>,
    mut request: Request,
) -> poem::Result<Response> {
    let credentials = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if let Some(token) = &token
        && !credentials.is_some_and(|credentials| is_bearer(credentials, token))
    {
        let response = Response::builder().status(StatusCode::UNAUTHORIZED);
        return Ok(response.header(header::WWW_AUTHENTICATE, "Bearer").finish());
    }
    request.set_data(TokenShown(token.is_some()));
    Ok(endpoint.call(request).await?.into_response())
}

/// Returns whether `credentials` are this bearer token. The case of the scheme and the number of spaces after it do not matter
/// (RFC 9110, 11.1 and 11.4). The comparison takes constant time.
fn is_bearer(credentials: &[u8], token: &str) -> bool {
    const SCHEME: &[u8] = b"Bearer ";
    let Some((scheme, credentials)) = credentials.split_at_checked(SCHEME.len()) else { return false };
    scheme.eq_ignore_ascii_case(SCHEME) && credentials.trim_ascii_start().ct_eq(token.as_bytes()).into()
}
