//! Where the process spends its time, sampled when somebody asks.

use std::{error::Error, sync::Arc, time::Duration};

use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use pprof::{ProfilerGuard, ProfilerGuardBuilder, Report, protos::Message as _};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Samples a second: enough to see, too few to be felt, and in step with nothing.
const FREQUENCY: i32 = 99;
/// For how long, in seconds, when nothing is said, …
const DEFAULT_SECONDS: u64 = 10;
/// … and at most.
const MAX_SECONDS: u64 = 60;

/// Libraries whose stack frames are not sampled: the unwinder takes a lock that the interrupted thread may hold (pprof, "Backtrace").
const UNSAFE_TO_UNWIND: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Why a profile cannot be rendered.
type Failure = Box<dyn Error + Send + Sync>;

/// One profile at a time.
#[derive(Clone, Default)]
pub(super) struct Profiling(Arc<Mutex<()>>);

/// A profile in the making, also while its client has left and its report is still being rendered.
struct Sampling {
    guard: ProfilerGuard<'static>,
    /// Given back when the guard has stopped sampling.
    _alone: OwnedMutexGuard<()>,
}

impl Sampling {
    fn start(alone: OwnedMutexGuard<()>) -> pprof::Result<Self> {
        let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&UNSAFE_TO_UNWIND);
        Ok(Self { guard: builder.build()?, _alone: alone })
    }
}

#[derive(Deserialize)]
struct Asked {
    seconds: Option<u64>,
}

/// The profile as `pprof` and its like read it.
#[handler]
pub(super) async fn protobuf(asked: Query<Asked>, profiling: Data<&Profiling>) -> Response {
    let encoded = profile(&asked, &profiling, |report| {
        let profile = report.pprof()?;
        profile.write_to_bytes().map_err(Into::into)
    });
    match encoded.await {
        Ok(profile) => Response::builder().content_type("application/octet-stream").body(profile),
        Err(response) => response,
    }
}

/// The same as a picture.
#[handler]
pub(super) async fn flame_graph(asked: Query<Asked>, profiling: Data<&Profiling>) -> Response {
    let drawn = profile(&asked, &profiling, |report| {
        let mut picture = Vec::new();
        report.flamegraph(&mut picture)?;
        Ok(picture)
    });
    match drawn.await {
        Ok(picture) if picture.is_empty() => "the process did nothing that could be sampled".into(),
        Ok(picture) => Response::builder().content_type("image/svg+xml").body(picture),
        Err(response) => response,
    }
}

/// Samples the process, and has the report rendered. Symbols are resolved when sampling starts and for the report, which can take
/// seconds: that happens on threads that serve nobody.
async fn profile(
    asked: &Asked,
    profiling: &Profiling,
    render: impl FnOnce(&Report) -> Result<Vec<u8>, Failure> + Send + 'static,
) -> Result<Vec<u8>, Response> {
    let seconds = asked.seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        let wrong = format!("seconds={seconds} is not between 1 and {MAX_SECONDS}");
        return Err((StatusCode::BAD_REQUEST, wrong).into());
    }
    let Ok(alone) = Arc::clone(&profiling.0).try_lock_owned() else {
        return Err((StatusCode::CONFLICT, "a profile is being made; ask again when it is done").into());
    };
    let sampling = off_the_runtime(move || Ok(Sampling::start(alone)?)).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    off_the_runtime(move || render(&sampling.guard.report().build()?)).await
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Response> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|panic| failed(&panic))?;
    done.map_err(|failure| failed(&*failure))
}

fn failed(error: &dyn Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into()
}
