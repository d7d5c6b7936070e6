//! CPU profiles of the process, sampled on request.

use std::{error::Error, sync::Arc, time::Duration};

use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use pprof::{ProfilerGuard, ProfilerGuardBuilder, Report, protos::Message as _};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Samples per second. 99 is enough for a useful profile, costs little, and does not align with periodic work.
const FREQUENCY: i32 = 99;
/// Default duration of a profile, in seconds.
const DEFAULT_SECONDS: u64 = 10;
/// Maximum duration of a profile, in seconds.
const MAX_SECONDS: u64 = 60;

/// Libraries whose stack frames are not sampled, because the unwinder takes a lock that the interrupted thread may hold (pprof,
/// "Backtrace").
const UNSAFE_TO_UNWIND: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// The reason why a profile cannot be rendered.
type Failure = Box<dyn Error + Send + Sync>;

/// A lock that allows one profile at a time.
#[derive(Clone, Default)]
pub(super) struct Profiling(Arc<Mutex<()>>);

/// A running profile. It holds the lock until its report is rendered, even if the client has left.
struct Sampling {
    guard: ProfilerGuard<'static>,
    /// Released after the guard has stopped sampling.
    _lock: OwnedMutexGuard<()>,
}

impl Sampling {
    fn start(lock: OwnedMutexGuard<()>) -> pprof::Result<Self> {
        let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&UNSAFE_TO_UNWIND);
        Ok(Self { guard: builder.build()?, _lock: lock })
    }
}

#[derive(Deserialize)]
struct ProfileQuery {
    seconds: Option<u64>,
}

/// Returns a profile in the format of pprof.
#[handler]
pub(super) async fn protobuf(query: Query<ProfileQuery>, profiling: Data<&Profiling>) -> Response {
    let encoded = profile(&query, &profiling, |report| {
        let profile = report.pprof()?;
        profile.write_to_bytes().map_err(Into::into)
    });
    match encoded.await {
        Ok(profile) => Response::builder().content_type("application/octet-stream").body(profile),
        Err(response) => response,
    }
}

/// Returns a profile as a flame graph.
#[handler]
pub(super) async fn flame_graph(query: Query<ProfileQuery>, profiling: Data<&Profiling>) -> Response {
    let drawn = profile(&query, &profiling, |report| {
        let mut picture = Vec::new();
        report.flamegraph(&mut picture)?;
        Ok(picture)
    });
    match drawn.await {
        Ok(picture) if picture.is_empty() => "no samples: the process was idle".into(),
        Ok(picture) => Response::builder().content_type("image/svg+xml").body(picture),
        Err(response) => response,
    }
}

/// Samples the process and renders the report. Symbols are resolved at the start and for the report. That can take seconds, so it runs on
/// blocking threads.
async fn profile(
    query: &ProfileQuery,
    profiling: &Profiling,
    render: impl FnOnce(&Report) -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<Vec<u8>, Response> {
    let seconds = query.seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        let error = format!("seconds={seconds} is not between 1 and {MAX_SECONDS}");
        return Err((StatusCode::BAD_REQUEST, error).into());
    }
    let Ok(lock) = Arc::clone(&profiling.0).try_lock_owned() else {
        return Err((StatusCode::CONFLICT, "another profile is running; try again later").into());
    };
    let sampling = run_blocking(move || Ok(Sampling::start(lock)?)).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    run_blocking(move || render(&sampling.guard.report().build()?)).await
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Response> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|panic| failed(&panic))?;
    done.map_err(|failure| failed(&*failure))
}

fn failed(error: &dyn Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into()
}
