//! The debug server: what probes and an administrator ask of an instance, on an address of its own.

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

use self::inspect::Inspection;
pub use self::probe::{Unhealthy, probe};
use crate::{
    http_server::App,
    web::{self, page::Source},
};

/// A page: its media type, and what renders it.
pub type Page = (&'static str, Box<dyn Fn() -> String + Send + Sync>);

/// What requests are counted by.
const ROUTES: &[&str] = &[
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

/// What the debug server shows.
pub struct Debug {
    /// Behind `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// Behind the page at `/inspect`.
    pub inspect: Arc<dyn Inspect>,
    /// What time it is, for that page.
    pub clock: Arc<dyn Clock>,
    /// Shown on that page.
    pub version: &'static str,
    /// Behind `/metrics`.
    pub metrics: Page,
    /// Behind `/config`.
    pub configuration: Page,
    /// Behind `/debug/tracez`; none for no such page.
    pub spans: Option<Page>,
    /// Whether `/debug/pprof/` makes profiles.
    pub profiles: bool,
    /// The bearer token that the pages are shown to; none for everybody. Probes need none.
    pub token: Option<String>,
}

impl Debug {
    /// `/healthz`, `/readyz` and the page at `/inspect`, and behind the token what that page shows, `/metrics`, `/config`, `/debug/pprof/`,
    /// `/debug/pprof/profile` and `/debug/tracez`.
    #[must_use]
    pub fn app(self) -> App {
        let may_end = self.token.is_some();
        let inspection =
            Inspection::new(self.inspect, Arc::clone(&self.readiness), self.clock, self.version, may_end);
        let readiness = self.readiness;
        let health = make_sync(|_| "OK");
        let ready = make_sync(move |_| match readiness.check() {
            Ok(()) => (StatusCode::OK, "OK".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_string()),
        });
        let mut guarded = inspect::answers(Route::new(), &inspection)
            .at("/metrics", web::get(page(self.metrics)))
            .at("/config", web::get(page(self.configuration)));
        if let Some(spans) = self.spans {
            // Some of what a span shows is chosen by strangers: no script runs on this page.
            let spans = page(spans).with(web::page::headers(Source::None, Source::Inline));
            guarded = guarded.at("/debug/tracez", web::get(spans));
        }
        if self.profiles {
            let profiling = profile::Profiling::default();
            let flame_graph = profile::flame_graph.data(profiling.clone());
            let flame_graph = flame_graph.with(web::page::headers(Source::Inline, Source::Inline));
            // HEAD would make a whole profile as well.
            guarded = guarded.at("/debug/pprof/", web::with_methods([Method::GET], flame_graph)).at(
                "/debug/pprof/profile",
                web::with_methods([Method::GET], profile::protobuf.data(profiling)),
            );
        }
        let token: Option<Arc<str>> = self.token.map(Into::into);
        let guarded = guarded
            .around(move |endpoint, request| only_with(token.clone(), endpoint, request))
            .with(SetHeader::new().overriding(header::CACHE_CONTROL, "no-store"));
        let open = Route::new().at("/healthz", web::get(health)).at("/readyz", web::get(ready));
        let routes = inspect::page(open).nest_no_strip("/", guarded);
        let answered = routes.catch_all_error(async |error: poem::Error| error.into_response());
        App::new(answered.map_to_response(), "/", ROUTES)
    }
}

fn page((media_type, render): Page) -> impl Endpoint {
    make_sync(move |_| Response::builder().content_type(media_type).body(render()))
}

/// Lets those pass who show the token.
async fn only_with<E: Endpoint>(
    token: Option<Arc<str>>,
    endpoint: Arc<E>,
    request: Request,
) -> poem::Result<Response> {
    let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if let Some(token) = &token
        && !shown.is_some_and(|shown| is_bearer(shown, token))
    {
        let response = Response::builder().status(StatusCode::UNAUTHORIZED);
        return Ok(response.header(header::WWW_AUTHENTICATE, "Bearer").finish());
    }
    Ok(endpoint.call(request).await?.into_response())
}

/// Whether the credentials `shown` are this bearer token. The case of the scheme and the number of spaces after it do not matter
/// (RFC 9110, 11.1 and 11.4). The comparison takes the same time wherever the token differs.
fn is_bearer(shown: &[u8], token: &str) -> bool {
    const SCHEME: &[u8] = b"Bearer ";
    let Some((scheme, shown)) = shown.split_at_checked(SCHEME.len()) else { return false };
    scheme.eq_ignore_ascii_case(SCHEME) && shown.trim_ascii_start().ct_eq(token.as_bytes()).into()
}
