//! When the process is to end.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

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

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        // A service manager.
        _ = terminate.recv() => {}
        // A person at a terminal.
        _ = interrupt.recv() => {}
    }
}
