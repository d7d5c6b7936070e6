//! What other threads tell the reactor.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Arrival;

/// Connections that are handed off to the reactor, and those of its own that have something to write.
#[derive(Default)]
pub(in super::super) struct Inbox {
    incoming: Mutex<Incoming>,
    changed: Notify,
}

/// What has come in since the reactor last looked.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) arrivals: VecDeque<Arrival>,
    /// Connections that may have something to write.
    pub(super) ready: VecDeque<usize>,
    /// When the reactor is to end.
    pub(super) end: End,
}

/// When the reactor is to end.
#[derive(Clone, Copy, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum End {
    /// Not yet.
    #[default]
    Open,
    /// When no connection is left; no more arrive.
    Empty,
    /// At once.
    Now,
}

/// A connection of the reactor, as others wake it.
pub(in super::super) struct ReactorHandle {
    inbox: Arc<Inbox>,
    key: u32,
}

impl ReactorHandle {
    pub(super) fn new(inbox: Arc<Inbox>, key: usize) -> Self {
        Self { inbox, key: u32::try_from(key).unwrap_or(u32::MAX) }
    }

    /// The connection has something to do.
    pub(in super::super) fn notify(&self) {
        self.inbox.put(|incoming| incoming.ready.push_back(self.key as usize));
    }
}

impl Inbox {
    /// Hands a connection off to the reactor. Its head has been written.
    pub(in super::super) fn arrives(&self, arrival: Arrival) {
        self.put(|incoming| incoming.arrivals.push_back(arrival));
    }

    /// Says when the reactor is to end. After [`End::Empty`] nothing may arrive.
    pub(in super::super) fn ends(&self, end: End) {
        self.put(|incoming| incoming.end = incoming.end.max(end));
    }

    /// Waits until something has come in, and returns it.
    pub(super) async fn incoming(&self) -> Incoming {
        self.changed.notified().await;
        self.take()
    }

    /// Returns what has come in.
    pub(super) fn take(&self) -> Incoming {
        std::mem::take(&mut *self.incoming.lock())
    }

    /// The reactor is woken once for all that comes until it looks.
    fn put(&self, put: impl FnOnce(&mut Incoming)) {
        let mut incoming = self.incoming.lock();
        let first = incoming.is_empty() && incoming.end == End::Open;
        put(&mut incoming);
        drop(incoming);
        if first {
            self.changed.notify_one();
        }
    }
}

impl Incoming {
    /// Whether no connection has something to do.
    pub(super) fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.ready.is_empty()
    }
}
