//! The use case "report readiness": whether this instance serves events at present.

use parking_lot::Mutex;
use ports::inbound::{NotReady, Readiness};

/// Number of messages waiting on NATS above which this instance lags. It is larger than a burst.
const LAG_THRESHOLD: u64 = 10_000;

/// The state of NATS, of the entry in the service registry and of the shutdown.
pub struct Status(Mutex<State>);

struct State {
    is_stopping: bool,
    /// Whether NATS is being read.
    reading: Result<(), NotReady>,
    /// Whether the entry is in the registry. `Ok` if the service does not announce itself.
    announced: Result<(), NotReady>,
}

/// A change of whether this instance lags: it reads more slowly than others publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LagChange {
    /// This instance lags from now on.
    Began,
    /// This instance has caught up.
    Ended,
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

    /// Records that `messages` messages wait on NATS to be read. Returns the change, if this instance begins or ceases to lag.
    ///
    /// It lags from more than [`LAG_THRESHOLD`] messages on until at most half as many wait. With a single threshold, readiness could
    /// alternate. While NATS has not been read or cannot be read, there is another reason not to be ready.
    pub(super) fn lag(&self, messages: u64) -> Option<LagChange> {
        let reading = &mut self.0.lock().reading;
        let (was_lagging, threshold) = match reading {
            Ok(()) => (false, LAG_THRESHOLD),
            Err(NotReady::Lagging { .. }) => (true, LAG_THRESHOLD / 2),
            Err(_) => return None,
        };
        let is_lagging = messages > threshold;
        *reading = if is_lagging { Err(NotReady::Lagging { messages }) } else { Ok(()) };
        match (was_lagging, is_lagging) {
            (false, true) => Some(LagChange::Began),
            (true, false) => Some(LagChange::Ended),
            (true, true) | (false, false) => None,
        }
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

    #[test]
    fn lag_has_two_thresholds() {
        let status = Status::default();
        let lagging = |messages| Err(NotReady::Lagging { messages });
        let check = |messages, change, ready| {
            assert_eq!((status.lag(messages), status.check()), (change, ready), "{messages}");
        };
        check(20_000, None, Err(NotReady::Starting));
        status.subscribed();
        check(10_000, None, Ok(()));
        check(10_001, Some(LagChange::Began), lagging(10_001));
        check(20_000, None, lagging(20_000));
        check(5_001, None, lagging(5_001));
        check(5_000, Some(LagChange::Ended), Ok(()));
        check(10_000, None, Ok(()));

        // After an outage the lag starts again.
        check(10_001, Some(LagChange::Began), lagging(10_001));
        let outage = || Err(NotReady::Interrupted { reason: "no server".into() });
        assert!(status.interrupted("no server".into()));
        check(20_000, None, outage());
        check(0, None, outage());
        status.subscribed();
        check(10_000, None, Ok(()));
        check(10_001, Some(LagChange::Began), lagging(10_001));
    }
}
