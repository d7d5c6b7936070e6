//! The page for administrators at `/inspect`, and its data.
//!
//! The page itself has no data and is open to everyone, because a browser sends no token when it navigates. It asks for the token, keeps it
//! for its own tab, and sends it in a header when it fetches the data, which the token protects.

mod live;

use std::sync::Arc;

use domain::identity::UserId;
use poem::{
    EndpointExt as _, Route, handler,
    http::{Method, StatusCode},
    middleware::SizeLimit,
    web::{Data, Json, Query},
};
use ports::{
    inbound::{Inspect, OpenStream, Readiness},
    outbound::Clock,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tracing::info;

use super::TokenShown;
use crate::web::{
    self,
    page::{CSS, HTML, SCRIPT, file},
};

/// Maximum number of open pages.
const MAX_PAGES: usize = 16;
/// Maximum size of a request body, in bytes. Any user id is shorter.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// The dependencies of the page's data.
pub(super) struct Inspection {
    pub(super) inspect: Arc<dyn Inspect>,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) version: &'static str,
    pages: Arc<Semaphore>,
}

impl Inspection {
    pub(super) fn new(
        inspect: Arc<dyn Inspect>,
        readiness: Arc<dyn Readiness>,
        clock: Arc<dyn Clock>,
        version: &'static str,
    ) -> Arc<Self> {
        let pages = Arc::new(Semaphore::new(MAX_PAGES));
        Arc::new(Self { inspect, readiness, clock, version, pages })
    }
}

/// Adds the page and its files, which are open to everyone.
pub(super) fn page_routes(routes: Route) -> Route {
    routes
        .at("/inspect", web::get(file(HTML, include_str!("page.html"))))
        .at("/inspect/page.css", web::get(file(CSS, include_str!("page.css"))))
        .at("/inspect/page.js", web::get(file(SCRIPT, include_str!("page.js"))))
        .at("/inspect/charts.js", web::get(file(SCRIPT, include_str!("charts.js"))))
        .at("/inspect/format.js", web::get(file(SCRIPT, include_str!("format.js"))))
}

/// Adds the data of the page.
pub(super) fn data_routes(routes: Route, inspection: &Arc<Inspection>) -> Route {
    let inspection = || Arc::clone(inspection);
    let ending = end.data(inspection()).with(SizeLimit::new(MAX_REQUEST_BYTES));
    routes
        .at("/inspect/live", web::with_methods([Method::GET], live::follow.data(inspection())))
        .at("/inspect/streams", web::get(streams.data(inspection())))
        .at("/inspect/streams/end", web::post(ending))
}

#[derive(Deserialize)]
struct UserQuery {
    user: String,
}

impl UserQuery {
    fn user(&self) -> poem::Result<UserId> {
        UserId::try_new(&self.user)
            .map_err(|error| poem::Error::from_string(error.to_string(), StatusCode::UNPROCESSABLE_ENTITY))
    }
}

/// The streams of one user, as the page shows them.
#[derive(Serialize)]
struct Streams {
    may_end: bool,
    streams: Vec<Stream>,
}

#[derive(Serialize)]
struct Stream {
    request_id: Option<String>,
    last_event_id: Option<String>,
    silent_seconds: u64,
    lag_events: usize,
    lag_bytes: u64,
    remaining_seconds: Option<u64>,
}

impl From<OpenStream> for Stream {
    fn from(stream: OpenStream) -> Self {
        Self {
            request_id: stream.request.map(|request| request.as_str().to_owned()),
            last_event_id: stream.position.map(|id| id.to_string()),
            silent_seconds: stream.since_last_write.as_secs(),
            lag_events: stream.lag.events,
            lag_bytes: stream.lag.bytes,
            remaining_seconds: stream.remaining.map(|time| time.as_secs()),
        }
    }
}

#[handler]
fn streams(
    Query(query): Query<UserQuery>,
    Data(inspection): Data<&Arc<Inspection>>,
    Data(TokenShown(may_end)): Data<&TokenShown>,
) -> poem::Result<Json<Streams>> {
    let streams = inspection.inspect.streams_of(&query.user()?).into_iter().map(Stream::from).collect();
    Ok(Json(Streams { may_end: *may_end, streams }))
}

#[derive(Serialize)]
struct Ended {
    ended: usize,
}

/// Ends the streams of a user. The request has to be JSON, which a page of another origin cannot send without a preflight. Without a token, any
/// page in the administrator's browser could end streams.
#[handler]
fn end(
    Json(query): Json<UserQuery>,
    Data(inspection): Data<&Arc<Inspection>>,
    Data(TokenShown(is_shown)): Data<&TokenShown>,
) -> poem::Result<Json<Ended>> {
    if !is_shown {
        let error = "streams can be ended here when debug.token (SSE_DEBUG_TOKEN) is set";
        return Err(poem::Error::from_string(error, StatusCode::FORBIDDEN));
    }
    let user = query.user()?;
    let ended = inspection.inspect.end_streams_of(&user);
    info!(%user, ended, "streams of a user ended by an administrator");
    Ok(Json(Ended { ended }))
}
