//! The debug server: what probes and an administrator ask of an instance, on an address of its own.

mod probe;

use std::sync::Arc;

use poem::{EndpointExt as _, Response, Route, endpoint::make_sync, get, http::StatusCode};
use ports::inbound::Readiness;

pub use self::probe::{Unhealthy, probe};
use super::server::{self, App};

/// A page of metrics: its media type, and what renders it.
pub type MetricsPage = (&'static str, Box<dyn Fn() -> String + Send + Sync>);

/// `/healthz`, `/readyz` and `/metrics`.
#[must_use]
pub fn app(readiness: Arc<dyn Readiness>, (media_type, render): MetricsPage) -> App {
    let health = make_sync(|_| "OK");
    let ready = make_sync(move |_| match readiness.check() {
        Ok(()) => (StatusCode::OK, "OK".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_string()),
    });
    let metrics = make_sync(move |_| Response::builder().content_type(media_type).body(render()));
    let routes =
        Route::new().at("/healthz", get(health)).at("/readyz", get(ready)).at("/metrics", get(metrics));
    server::app(routes.catch_all_error(async |error: poem::Error| error.into_response()).map_to_response())
}
