//! Whether this instance does its work.

use parking_lot::Mutex;
use ports::inbound::{NotReady, Readiness};

/// What is known of the bus and of our own end. It starts as [`NotReady::Starting`].
pub struct Status(Mutex<Result<(), NotReady>>);

impl Default for Status {
    fn default() -> Self {
        Self(Mutex::new(Err(NotReady::Starting)))
    }
}

impl Status {
    /// The bus is being read.
    pub(super) fn subscribed(&self) {
        self.set(Ok(())).ok();
    }

    /// The bus cannot be read. True when it could before.
    pub(super) fn interrupted(&self, reason: String) -> bool {
        !matches!(self.set(Err(NotReady::Interrupted { reason })), Err(NotReady::Interrupted { .. }))
    }

    /// The bus is being read, but too slowly.
    pub(super) fn behind(&self, messages: u64) {
        self.set(Err(NotReady::Behind { messages })).ok();
    }

    /// The end has begun; whatever the bus does, we will not be ready again.
    pub fn stopping(&self) {
        *self.0.lock() = Err(NotReady::Stopping);
    }

    /// Answers what was known before.
    fn set(&self, new: Result<(), NotReady>) -> Result<(), NotReady> {
        let mut present = self.0.lock();
        if *present == Err(NotReady::Stopping) {
            return Err(NotReady::Stopping);
        }
        std::mem::replace(&mut *present, new)
    }
}

impl Readiness for Status {
    fn check(&self) -> Result<(), NotReady> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_bus_until_the_end_has_begun() {
        let status = Status::default();
        assert_eq!(status.check(), Err(NotReady::Starting));
        status.subscribed();
        assert_eq!(status.check(), Ok(()));
        assert!(status.interrupted("no server".into()));
        assert!(!status.interrupted("no server".into()), "one outage");
        assert_eq!(status.check(), Err(NotReady::Interrupted { reason: "no server".into() }));
        status.stopping();
        status.subscribed();
        assert_eq!(status.check(), Err(NotReady::Stopping));
    }
}
