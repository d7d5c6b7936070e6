//! Whether this instance does its work.

use parking_lot::Mutex;
use ports::inbound::{NotReady, Readiness};

/// What is known of NATS, of our entry in the service registry, and of our own end.
pub struct Status(Mutex<Known>);

struct Known {
    is_stopping: bool,
    /// Whether NATS is being read.
    reading: Result<(), NotReady>,
    /// Whether the entry is there; also when none is asked for.
    announced: Result<(), NotReady>,
}

impl Default for Status {
    /// NATS is not being read yet, and no entry in the registry is asked for.
    fn default() -> Self {
        Self(Mutex::new(Known { is_stopping: false, reading: Err(NotReady::Starting), announced: Ok(()) }))
    }
}

impl Status {
    /// NATS is being read.
    pub(super) fn subscribed(&self) {
        self.0.lock().reading = Ok(());
    }

    /// NATS cannot be read. True when it could before.
    pub(super) fn interrupted(&self, reason: String) -> bool {
        let known = std::mem::replace(&mut self.0.lock().reading, Err(NotReady::Interrupted { reason }));
        !matches!(known, Err(NotReady::Interrupted { .. }))
    }

    /// NATS is being read, but too slowly.
    pub(super) fn behind(&self, messages: u64) {
        self.0.lock().reading = Err(NotReady::Lagging { messages });
    }

    /// The entry is in the registry.
    pub(super) fn announced(&self) {
        self.0.lock().announced = Ok(());
    }

    /// The entry is not in the registry, or may not be.
    pub(super) fn not_announced(&self, reason: String) {
        self.0.lock().announced = Err(NotReady::NotAnnounced { reason });
    }

    /// The end has begun; whatever NATS does, we will not be ready again.
    pub fn stopping(&self) {
        self.0.lock().is_stopping = true;
    }
}

impl Readiness for Status {
    fn check(&self) -> Result<(), NotReady> {
        let known = self.0.lock();
        if known.is_stopping {
            return Err(NotReady::Stopping);
        }
        known.reading.clone().and_then(|()| known.announced.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_nats_and_the_registry_until_the_end_has_begun() {
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
