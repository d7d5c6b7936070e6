//! The SSE endpoint and its description, over HTTP.

mod access_log;
mod api;
mod body;
mod cors;
mod credentials;
#[cfg(test)]
mod event_stream_parser;
mod frame;
mod problem;
mod queue;

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoEndpoint as _, IntoResponse, Request, Route, http::Method};
use poem_openapi::OpenApiService;
use ports::{
    inbound::Subscribe,
    outbound::{Clock, Metrics, TokenVerifier, Traces},
};

use self::{access_log::AccessLog, api::Api};
pub use self::{
    cors::CrossOrigin,
    frame::EventFrames,
    queue::{Queue, QueueLimits, QueueReader, Queues},
};
use super::server::{self, App};

/// What the endpoint is made of.
pub struct Http {
    /// Opens the streams.
    pub subscribe: Arc<dyn Subscribe>,
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
        let service = self.service();
        let (specification, page) = (service.spec_endpoint(), service.swagger_ui());
        let operations = Arc::new(service.into_endpoint());
        let routes = Route::new()
            .at("/openapi.json", specification)
            .nest("/docs", page)
            // Not all of `/`: the router would let nothing else stand there.
            .nest_no_strip("/ocs", Arc::clone(&operations))
            .nest_no_strip("/sse", operations);
        let routes = extend(routes);
        let routes = if root == "/" { routes } else { Route::new().nest(root, routes) };
        let answered = routes.around(refuse_head).catch_all_error(problem::unanswered).with(cross_origin);
        server::app(answered.with(AccessLog { clock }))
    }

    fn service(self) -> OpenApiService<Api, ()> {
        let (root, version) = (self.root, self.version);
        let api = Api {
            subscribe: self.subscribe,
            verifier: self.verifier,
            metrics: self.metrics,
            clock: self.clock,
            traces: self.traces,
            queues: Arc::new(Queues { limits: self.limits, frames: self.frames }),
            version,
        };
        OpenApiService::new(api, "ocis-sse", version)
            .description(
                "Pushes what happens to a user's files and shares to the user's browsers, as Server-Sent Events. \
                 Errors are problem details (RFC 9457).",
            )
            .server(root)
    }
}

/// A stream has no head without a body: the framework would answer HEAD by opening one.
async fn refuse_head<E: Endpoint>(endpoint: Arc<E>, request: Request) -> poem::Result<poem::Response> {
    if request.method() == Method::HEAD {
        return Ok(problem::method_not_allowed());
    }
    Ok(endpoint.call(request).await?.into_response())
}
