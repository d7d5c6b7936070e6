//! The use case "report readiness": whether this instance serves events at present.

use parking_lot::Mutex;
use ports::inbound::{NotReady, Readiness};

/// The state of NATS, of the entry in the service registry and of the shutdown.
pub struct Status(Mutex<State>);

struct State {
    is_stopping: bool,
    /// Whether NATS is being read.
    reading: Result<(), NotReady>,
    /// Whether the entry is in the registry. `Ok` if the service does not announce itself.
    announced: Result<(), NotReady>,
}

impl Default for Status {
    /// Creates the status of a service that does not read NATS yet and does not announce itself.
    fn default() -> Self {
        Self(Mutex::new(State { is_stopping: false, reading: Err(NotReady::Starting), announced: Ok(()) }))
    }
}

impl Status {
    /// Records that NATS is being read.
    pub(super) fn subscribed(&self) {
        self.0.lock().reading = Ok(());
    }

    /// Records that NATS cannot be read. Returns whether this is the start of an outage.
    pub(super) fn interrupted(&self, reason: String) -> bool {
        let before = std::mem::replace(&mut self.0.lock().reading, Err(NotReady::Interrupted { reason }));
        !matches!(before, Err(NotReady::Interrupted { .. }))
    }

    /// Records that `messages` messages wait in NATS, too many to be ready.
    pub(super) fn lagging(&self, messages: u64) {
        self.0.lock().reading = Err(NotReady::Lagging { messages });
    }

    /// Records that the entry is in the registry.
    pub(super) fn announced(&self) {
        self.0.lock().announced = Ok(());
    }

    /// Records that the entry is not in the registry, or may not be.
    pub(super) fn not_announced(&self, reason: String) {
        self.0.lock().announced = Err(NotReady::NotAnnounced { reason });
    }

    /// Records that the service is stopping. It does not become ready again.
    pub fn stopping(&self) {
        self.0.lock().is_stopping = true;
    }
}

impl Readiness for Status {
    fn check(&self) -> Result<(), NotReady> {
        let state = self.0.lock();
        if state.is_stopping {
            return Err(NotReady::Stopping);
        }
        state.reading.clone().and_then(|()| state.announced.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_depends_on_nats_and_registry_until_stop() {
        let status = Status::default();
        assert_eq!(status.check(), Err(NotReady::Starting));
        status.subscribed();
        assert_eq!(status.check(), Ok(()));
        status.not_announced("no bucket".into());
        assert_eq!(status.check(), Err(NotReady::NotAnnounced { reason: "no bucket".into() }));
        assert!(status.interrupted("no server".into()));
        assert!(!status.interrupted("no server".into()), "one outage");
        status.announced();
        assert_eq!(status.check(), Err(NotReady::Interrupted { reason: "no server".into() }));
        status.stopping();
        status.subscribed();
        assert_eq!(status.check(), Err(NotReady::Stopping));
    }
}
