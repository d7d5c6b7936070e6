//! Notifications for the service manager, if there is one (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Notifies the service manager that the service is ready.
pub fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Notifies the service manager that the service is stopping, and that this may take `time`. The service manager waits for that long, even if
/// its own timeout is shorter.
pub fn notify_stopping(time: Duration) {
    // The crate's own value counts in 32 bits, which end after 71 minutes.
    let extension = format!("EXTEND_TIMEOUT_USEC={}", time.as_micros());
    notify(&[NotifyState::Stopping, NotifyState::Custom(&extension)]);
}

/// Notifies the service manager that `process` is the service from now on, in place of this process, and ready.
pub fn notify_successor(process: u32) {
    notify(&[NotifyState::MainPid(process), NotifyState::Ready]);
}

/// Notifies the service manager that the configuration is being reloaded, until [`notify_ready`] (`RELOADING=1`).
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
