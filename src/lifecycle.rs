//! When the process is to end.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::telemetry::LogFile;

/// The shell's status for a process that SIGTERM has ended.
const ENDED_AT_ONCE: i32 = 128 + 15;

/// A token that is cancelled by the first SIGTERM or SIGINT. The second ends the process at once.
///
/// # Errors
///
/// The signals cannot be caught.
pub fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        info!("stopping");
        told.cancel();
        either(&mut terminate, &mut interrupt).await;
        warn!("stopped at once by a second signal");
        std::process::exit(ENDED_AT_ONCE);
    });
    Ok(stop)
}

/// Tells the service manager, where there is one, that clients are served, or no longer (`sd_notify(3)`).
pub fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// Reopens the log whenever SIGHUP comes, if it is a file. The signal never ends the process.
///
/// # Errors
///
/// The signal cannot be caught.
pub fn reopen_on_hangup(log: Option<Arc<LogFile>>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match log.as_ref().map(|log| log.reopen()) {
                Some(Ok(())) => info!("the log was opened anew"),
                Some(Err(error)) => error!(%error, "the log cannot be opened anew, the old file is kept"),
                None => info!("SIGHUP ignored: the log is no file that could be opened anew"),
            }
        }
    });
    Ok(())
}

/// Raises the number of file descriptors that this process may have to the most it may raise it to, and answers that; none
/// where there is no limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "the limit of file descriptors cannot be raised");
        return current;
    }
    maximum
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        // A service manager.
        _ = terminate.recv() => {}
        // A person at a terminal.
        _ = interrupt.recv() => {}
    }
}
