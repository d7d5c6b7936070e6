//! The pace of the relay: it reads NATS no faster than this instance can write to the connections that accept data.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

/// Number of bytes appended to the log after which the relay pauses.
const PAUSE_AFTER_BYTES: usize = 1024 * 1024;
/// Maximum duration of a pause. It bounds the delay by a connection that was woken and takes nothing.
const MAX_PAUSE: Duration = Duration::from_millis(5);

/// An approximate count of the connections that were woken and have not taken anything since.
#[derive(Default)]
pub(super) struct Pace {
    pending: AtomicUsize,
    is_waiting: AtomicBool,
    none_pending: Notify,
}

impl Pace {
    /// Records that a connection that accepts data was woken.
    pub(super) fn woken(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a connection that was woken has taken its frames.
    pub(super) fn taken(&self) {
        // A connection that did not accept data when it was woken was not counted. Counting it here makes the count too low, which only
        // shortens a pause.
        let pending =
            self.pending.try_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
        if pending == Ok(1) && self.is_waiting.load(Ordering::SeqCst) {
            self.none_pending.notify_one();
        }
    }

    /// Waits until the connections that were woken have taken their frames, but not longer than [`MAX_PAUSE`].
    async fn wait(&self) {
        self.is_waiting.store(true, Ordering::SeqCst);
        let none_pending = async {
            while self.pending.load(Ordering::SeqCst) > 0 {
                self.none_pending.notified().await;
            }
        };
        tokio::time::timeout(MAX_PAUSE, none_pending).await.ok();
        self.is_waiting.store(false, Ordering::SeqCst);
        // The next pause does not wait again for connections that have not taken anything by now.
        self.pending.store(0, Ordering::SeqCst);
    }
}

/// The number of bytes that the relay has appended since its last pause.
#[derive(Default)]
pub(super) struct Pacer(usize);

impl Pacer {
    /// Records that `bytes` were appended, and pauses if enough were appended since the last pause.
    pub(super) async fn appended(&mut self, bytes: usize, pace: &Pace) {
        self.0 += bytes;
        if self.0 >= PAUSE_AFTER_BYTES {
            self.0 = 0;
            pace.wait().await;
        }
    }
}
