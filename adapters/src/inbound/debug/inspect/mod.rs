//! A page to look inside, and what it asks for.
//!
//! The page itself shows nothing and is for everybody: a browser sends no token with what a person types into it. It asks for the
//! token, keeps it for its own tab, and sends it in a header with whatever it fetches, which is behind the token like the rest.

mod live;

use std::sync::Arc;

use domain::identity::UserId;
use poem::{
    EndpointExt as _, Response, Route,
    endpoint::make_sync,
    handler,
    http::{Method, StatusCode, header},
    middleware::{SetHeader, SizeLimit},
    web::{Data, Json, Query},
};
use ports::{
    inbound::{Inspect, OpenStream, Readiness},
    outbound::Clock,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tracing::info;

use crate::web::{self, page::Source};

/// So many pages are fed at a time.
const MOST_PAGES: usize = 16;
/// More than any user's id takes.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// What is looked into.
pub(super) struct Inspection {
    pub(super) inspect: Arc<dyn Inspect>,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) version: &'static str,
    /// Whether whoever asks has shown a token. Without one, any page that a person has open could end streams.
    pub(super) may_end: bool,
    pages: Arc<Semaphore>,
}

impl Inspection {
    pub(super) fn new(
        inspect: Arc<dyn Inspect>,
        readiness: Arc<dyn Readiness>,
        clock: Arc<dyn Clock>,
        version: &'static str,
        may_end: bool,
    ) -> Arc<Self> {
        let pages = Arc::new(Semaphore::new(MOST_PAGES));
        Arc::new(Self { inspect, readiness, clock, version, may_end, pages })
    }
}

/// Adds the page and its files, which are for everybody.
pub(super) fn page(routes: Route) -> Route {
    let file = |media_type: &'static str, text: &'static str| {
        let file = make_sync(move |_| Response::builder().content_type(media_type).body(text));
        let file = file.with(web::page::headers(Source::Files, Source::Files));
        web::get(file.with(SetHeader::new().overriding(header::CACHE_CONTROL, "no-cache")))
    };
    routes
        .at("/inspect", file("text/html; charset=utf-8", include_str!("page.html")))
        .at("/inspect/page.css", file("text/css; charset=utf-8", include_str!("page.css")))
        .at("/inspect/page.js", file("text/javascript; charset=utf-8", include_str!("page.js")))
}

/// Adds what the page asks for.
pub(super) fn answers(routes: Route, inspection: &Arc<Inspection>) -> Route {
    let inspection = || Arc::clone(inspection);
    let ending = end.data(inspection()).with(SizeLimit::new(MAX_REQUEST_BYTES));
    routes
        .at("/inspect/live", web::with_methods([Method::GET], live::follow.data(inspection())))
        .at("/inspect/streams", web::get(streams.data(inspection())))
        .at("/inspect/streams/end", web::post(ending))
}

#[derive(Deserialize)]
struct Asked {
    user: String,
}

impl Asked {
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
            silent_seconds: stream.silent.as_secs(),
            lag_events: stream.lag.events,
            lag_bytes: stream.lag.bytes,
            remaining_seconds: stream.remaining.map(|time| time.as_secs()),
        }
    }
}

#[handler]
fn streams(
    Query(asked): Query<Asked>,
    Data(inspection): Data<&Arc<Inspection>>,
) -> poem::Result<Json<Streams>> {
    let streams = inspection.inspect.streams_of(&asked.user()?).into_iter().map(Stream::from).collect();
    Ok(Json(Streams { may_end: inspection.may_end, streams }))
}

#[derive(Serialize)]
struct Ended {
    ended: usize,
}

/// What is sent has to be JSON: no page of another origin can send that without being asked first.
#[handler]
fn end(Json(asked): Json<Asked>, Data(inspection): Data<&Arc<Inspection>>) -> poem::Result<Json<Ended>> {
    if !inspection.may_end {
        let why = "streams can be ended here when debug.token (SSE_DEBUG_TOKEN) is set";
        return Err(poem::Error::from_string(why, StatusCode::FORBIDDEN));
    }
    let user = asked.user()?;
    let ended = inspection.inspect.end_streams_of(&user);
    info!(%user, ended, "an administrator has ended a user's streams");
    Ok(Json(Ended { ended }))
}
