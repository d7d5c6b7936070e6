//! What the lane is told by others.

use std::sync::Arc;

use mio::{Events, Token};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Arrival;

/// Who comes to the lane, and who there has something to write.
#[derive(Default)]
pub(in super::super) struct Inbox {
    waiting: Mutex<Waiting>,
    something: Notify,
}

/// What has come in since the lane has last looked.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) arrivals: Vec<Arrival>,
    /// Who may have something to write, or can be written to again.
    pub(super) ready: Vec<usize>,
    /// Whose client has said something or has gone.
    pub(super) spoken: Vec<usize>,
}

/// A connection's place in the lane.
pub(in super::super) struct Place {
    inbox: Arc<Inbox>,
    key: u32,
}

impl Place {
    pub(super) fn new(inbox: Arc<Inbox>, key: usize) -> Self {
        Self { inbox, key: u32::try_from(key).unwrap_or(u32::MAX) }
    }

    /// There is something to do for it.
    pub(in super::super) fn is_ready(&self) {
        self.inbox.put(|waiting| waiting.ready.push(self.key as usize));
    }
}

impl Inbox {
    /// A connection whose head has been written.
    pub(in super::super) fn arrives(&self, arrival: Arrival) {
        self.put(|waiting| waiting.arrivals.push(arrival));
    }

    /// What the kernel tells of the sockets.
    pub(super) fn heard(&self, events: &Events) {
        self.put(|waiting| {
            for event in events {
                let Token(key) = event.token();
                if event.is_readable() {
                    waiting.spoken.push(key);
                }
                if event.is_writable() {
                    waiting.ready.push(key);
                }
            }
        });
    }

    /// All that is waiting, as soon as there is something.
    pub(super) async fn waiting(&self) -> Waiting {
        self.something.notified().await;
        std::mem::take(&mut *self.waiting.lock())
    }

    /// Whether nothing is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// The lane is woken once for all that comes until it looks.
    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        let first = waiting.is_empty();
        put(&mut waiting);
        drop(waiting);
        if first {
            self.something.notify_one();
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.ready.is_empty() && self.spoken.is_empty()
    }
}
