//! The pace at which NATS is read: as fast as our own connections have their turn.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

/// After so many bytes in the log the connections have a turn …
const TURN_BYTES: usize = 1024 * 1024;
/// … of this time at most. What one of them does not take because of its client is not waited for.
const TURN_TIME: Duration = Duration::from_millis(5);

/// Knows about how many connections were woken and have not had their turn since.
#[derive(Default)]
pub(super) struct Pace {
    due: AtomicUsize,
    is_waiting: AtomicBool,
    none_is_due: Notify,
}

impl Pace {
    /// A connection that can be written to was woken.
    pub(super) fn woken(&self) {
        self.due.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that was woken has taken what there was.
    pub(super) fn taken(&self) {
        // One that was not counted, because it could not be written to, counts for another.
        let due = self.due.try_update(Ordering::SeqCst, Ordering::SeqCst, |due| due.checked_sub(1));
        if due == Ok(1) && self.is_waiting.load(Ordering::SeqCst) {
            self.none_is_due.notify_one();
        }
    }

    /// Lets the connections that were woken have their turn.
    async fn turn(&self) {
        self.is_waiting.store(true, Ordering::SeqCst);
        let none_is_due = async {
            while self.due.load(Ordering::SeqCst) > 0 {
                self.none_is_due.notified().await;
            }
        };
        tokio::time::timeout(TURN_TIME, none_is_due).await.ok();
        self.is_waiting.store(false, Ordering::SeqCst);
        // Those that have not come by now are not waited for again.
        self.due.store(0, Ordering::SeqCst);
    }
}

/// How much was appended since the connections had their last turn.
#[derive(Default)]
pub(super) struct Pacer(usize);

impl Pacer {
    /// `bytes` were appended. From time to time the connections have a turn.
    pub(super) async fn appended(&mut self, bytes: usize, pace: &Pace) {
        self.0 += bytes;
        if self.0 >= TURN_BYTES {
            self.0 = 0;
            pace.turn().await;
        }
    }
}
