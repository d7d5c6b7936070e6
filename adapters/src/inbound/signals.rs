//! The signals that stop the process or reload its configuration.

pub use tokio::signal::unix::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Exit status after a second signal: that of a process ended by SIGTERM, as shells report it.
const KILLED_STATUS: i32 = 128 + 15;

/// Returns a token that the first SIGTERM or SIGINT cancels. A second signal ends the process at once, after `before_exit`.
///
/// # Errors
///
/// Returns an error if the signal handlers cannot be installed.
pub fn stop_on_signals(before_exit: impl FnOnce() + Send + 'static) -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        info!("stopping");
        token.cancel();
        either(&mut terminate, &mut interrupt).await;
        warn!("stopped immediately by a second signal");
        before_exit();
        std::process::exit(KILLED_STATUS);
    });
    Ok(stop)
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

/// Returns a listener for SIGUSR2, which asks for a successor. Otherwise like [`hangups`].
///
/// # Errors
///
/// Returns an error if the signal handler cannot be installed.
pub fn successor_requests() -> std::io::Result<Signal> {
    signal(SignalKind::user_defined2())
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
