//! Notifications for the service manager, if there is one (`sd_notify(3)`).

use sd_notify::NotifyState;
use tracing::warn;

/// Notifies the service manager that the service is ready.
pub fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Notifies the service manager that the service is stopping.
pub fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
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
