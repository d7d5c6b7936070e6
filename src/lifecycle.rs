//! Signals, the service manager and the limits of the process.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub use sd_notify::NotifyState;
pub use tokio::signal::unix::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::telemetry::LogFile;

/// Exit status after a second signal: that of a process ended by SIGTERM, as shells report it.
const KILLED_STATUS: i32 = 128 + 15;

/// Returns a token that the first SIGTERM or SIGINT cancels. A second signal ends the process at once.
///
/// # Errors
///
/// Returns an error if the signal handlers cannot be installed.
pub fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        info!("stopping");
        token.cancel();
        either(&mut terminate, &mut interrupt).await;
        warn!("stopped immediately by a second signal");
        std::process::exit(KILLED_STATUS);
    });
    Ok(stop)
}

/// Notifies the service manager, if there is one, that the service is ready or stopping (`sd_notify(3)`).
pub fn notify_service_manager(state: NotifyState<'_>) {
    notify(&[state]);
}

/// Notifies the service manager that the configuration is being reloaded, until [`NotifyState::Ready`] (`sd_notify(3)`, `RELOADING=1`).
pub fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "notification of the service manager failed"),
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "notification of the service manager failed");
    }
}

/// Returns a listener for SIGHUP. From the first call on, the signal no longer ends the process. Several signals that arrive while none is
/// awaited count as one.
///
/// # Errors
///
/// Returns an error if the signal handler cannot be installed.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reopens the log file on each SIGHUP.
///
/// # Errors
///
/// Returns an error if the signal handler cannot be installed.
pub fn reopen_on_hangup(log: Arc<LogFile>) -> std::io::Result<()> {
    let mut hangups = hangups()?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match log.reopen() {
                Ok(()) => info!("log file reopened"),
                Err(error) => error!(%error, "log file not reopened, keeping the old one"),
            }
        }
    });
    Ok(())
}

/// Raises the soft limit of file descriptors to the hard limit. Returns the limit, or none if there is none.
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "limit of file descriptors not raised");
        return current;
    }
    maximum
}

/// Waits for one of the two signals.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        // Sent by a service manager.
        _ = terminate.recv() => {}
        // Sent by a terminal.
        _ = interrupt.recv() => {}
    }
}
