//! Where the process spends its time, sampled when somebody asks.

use std::time::Duration;

use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use pprof::{ProfilerGuardBuilder, Report, protos::Message as _};
use serde::Deserialize;
use tokio::sync::Mutex;

/// Samples a second: enough to see, too few to be felt, and in step with nothing.
const FREQUENCY: i32 = 99;
/// For how long, in seconds, when nothing is said, …
const DEFAULT_SECONDS: u64 = 10;
/// … and at most.
const MAX_SECONDS: u64 = 60;

/// One profile at a time.
#[derive(Default)]
pub(super) struct Profiling(Mutex<()>);

#[derive(Deserialize)]
struct Asked {
    seconds: Option<u64>,
}

/// The profile as `pprof` and its like read it.
#[handler]
pub(super) async fn protobuf(asked: Query<Asked>, profiling: Data<&std::sync::Arc<Profiling>>) -> Response {
    let report = match sample(&asked, &profiling).await {
        Ok(report) => report,
        Err(response) => return response,
    };
    match report.pprof().map(|profile| profile.write_to_bytes()) {
        Ok(Ok(bytes)) => Response::builder().content_type("application/octet-stream").body(bytes),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// The same as a picture.
#[handler]
pub(super) async fn flame_graph(
    asked: Query<Asked>,
    profiling: Data<&std::sync::Arc<Profiling>>,
) -> Response {
    let report = match sample(&asked, &profiling).await {
        Ok(report) => report,
        Err(response) => return response,
    };
    let mut picture = Vec::new();
    match report.flamegraph(&mut picture) {
        Ok(()) if picture.is_empty() => "the process did nothing that could be sampled".into(),
        Ok(()) => Response::builder().content_type("image/svg+xml").body(picture),
        Err(error) => failed(&error),
    }
}

async fn sample(asked: &Asked, profiling: &Profiling) -> Result<Report, Response> {
    let seconds = asked.seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        let wrong = format!("seconds={seconds} is not between 1 and {MAX_SECONDS}");
        return Err((StatusCode::BAD_REQUEST, wrong).into());
    }
    let Ok(_alone) = profiling.0.try_lock() else {
        return Err((StatusCode::CONFLICT, "a profile is being made; ask again when it is done").into());
    };
    let sampling =
        ProfilerGuardBuilder::default().frequency(FREQUENCY).build().map_err(|error| failed(&error))?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    sampling.report().build().map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into()
}
