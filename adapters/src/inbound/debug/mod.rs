//! The debug server: what probes and an administrator ask of an instance, on an address of its own.

mod probe;

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt as _, Response, Route,
    endpoint::make_sync,
    get,
    http::{HeaderValue, StatusCode, header},
};
use ports::inbound::Readiness;
use subtle::ConstantTimeEq as _;

pub use self::probe::{Unhealthy, probe};
use super::server::{self, App};

/// A page: its media type, and what renders it.
pub type Page = (&'static str, Box<dyn Fn() -> String + Send + Sync>);

/// What the debug server shows.
pub struct Debug {
    /// Behind `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// Behind `/metrics`.
    pub metrics: Page,
    /// Behind `/config`.
    pub configuration: Page,
    /// The bearer token that the pages are shown to; none for everybody. Probes need none.
    pub token: Option<String>,
}

impl Debug {
    /// `/healthz`, `/readyz`, `/metrics` and `/config`.
    #[must_use]
    pub fn app(self) -> App {
        let readiness = self.readiness;
        let health = make_sync(|_| "OK");
        let ready = make_sync(move |_| match readiness.check() {
            Ok(()) => (StatusCode::OK, "OK".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_string()),
        });
        let token: Option<Arc<str>> = self.token.map(Into::into);
        let routes = Route::new()
            .at("/healthz", get(health))
            .at("/readyz", get(ready))
            .at("/metrics", get(page(self.metrics, token.clone())))
            .at("/config", get(page(self.configuration, token)));
        server::app(
            routes.catch_all_error(async |error: poem::Error| error.into_response()).map_to_response(),
        )
    }
}

/// Shows a page to whoever has the token.
fn page((media_type, render): Page, token: Option<Arc<str>>) -> impl Endpoint {
    make_sync(move |request| {
        let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if let Some(token) = &token
            && !shown.is_some_and(|shown| is_bearer(shown, token))
        {
            let response = Response::builder().status(StatusCode::UNAUTHORIZED);
            return response.header(header::WWW_AUTHENTICATE, "Bearer").finish();
        }
        Response::builder().content_type(media_type).body(render())
    })
}

/// Takes the same time whatever is wrong with it.
fn is_bearer(shown: &[u8], token: &str) -> bool {
    let expected = format!("Bearer {token}");
    shown.ct_eq(expected.as_bytes()).into()
}
