//! Whether a server accepts connections.

use tokio::sync::watch;

/// A switch for accepting connections. While it is off, the kernel queues them; another process that holds the socket can accept them.
/// Clones are the same switch.
#[derive(Clone)]
pub struct Accepting(watch::Sender<bool>);

impl Default for Accepting {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Accepting {
    /// Switches accepting on or off.
    pub fn set(&self, accepting: bool) {
        self.0.send_replace(accepting);
    }

    /// Waits until the switch is as given.
    pub(super) async fn wait_until(&self, accepting: bool) {
        // The sender lives in `self`, so waiting cannot fail.
        self.0.subscribe().wait_for(|current| *current == accepting).await.ok();
    }
}
