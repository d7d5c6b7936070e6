//! When the process is to end.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub use sd_notify::NotifyState;
pub use tokio::signal::unix::Signal;
use tokio::signal::unix::{SignalKind, signal};
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
    tell(&[state]);
}

/// Tells the service manager that the configuration is read again, until [`NotifyState::Ready`] (`sd_notify(3)`, `RELOADING=1`).
pub fn tell_service_manager_of_reload() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager cannot be told"),
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// Returns the SIGHUPs that come from now on. From the first call on, the signal no longer ends the process. Several that come while none is
/// awaited count as one.
///
/// # Errors
///
/// The signal cannot be caught.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reopens the log whenever SIGHUP comes.
///
/// # Errors
///
/// The signal cannot be caught.
pub fn reopen_on_hangup(log: Arc<LogFile>) -> std::io::Result<()> {
    let mut hangups = hangups()?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match log.reopen() {
                Ok(()) => info!("log file reopened"),
                Err(error) => error!(%error, "log file not reopened, the old one is kept"),
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
