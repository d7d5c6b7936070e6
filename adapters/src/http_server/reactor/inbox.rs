//! What the lane is told by others.

use std::{collections::VecDeque, sync::Arc};

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
    pub(super) arrivals: VecDeque<Arrival>,
    /// Who may have something to write, or can be written to again.
    pub(super) ready: VecDeque<usize>,
    /// Whose client has said something or has gone.
    pub(super) spoken: VecDeque<usize>,
    /// What is said of the lane's own end.
    pub(super) end: End,
}

/// When the lane is to end.
#[derive(Clone, Copy, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum End {
    /// Nothing is said of it.
    #[default]
    Open,
    /// When nobody is left: nobody comes any more.
    Empty,
    /// At once.
    Now,
}

/// A connection's place in the lane.
pub(in super::super) struct ReactorHandle {
    inbox: Arc<Inbox>,
    key: u32,
}

impl ReactorHandle {
    pub(super) fn new(inbox: Arc<Inbox>, key: usize) -> Self {
        Self { inbox, key: u32::try_from(key).unwrap_or(u32::MAX) }
    }

    /// There is something to do for it.
    pub(in super::super) fn is_ready(&self) {
        self.inbox.put(|waiting| waiting.ready.push_back(self.key as usize));
    }
}

impl Inbox {
    /// A connection whose head has been written.
    pub(in super::super) fn arrives(&self, arrival: Arrival) {
        self.put(|waiting| waiting.arrivals.push_back(arrival));
    }

    /// When the lane is to end. After `Empty` nobody may come.
    pub(in super::super) fn ends(&self, end: End) {
        self.put(|waiting| waiting.end = waiting.end.max(end));
    }

    /// What the kernel tells of the sockets.
    pub(super) fn heard(&self, events: &Events) {
        self.put(|waiting| {
            for event in events {
                let Token(key) = event.token();
                if event.is_readable() {
                    waiting.spoken.push_back(key);
                }
                if event.is_writable() {
                    waiting.ready.push_back(key);
                }
            }
        });
    }

    /// All that is waiting, as soon as there is something.
    pub(super) async fn waiting(&self) -> Waiting {
        self.something.notified().await;
        self.take()
    }

    /// All that is waiting now.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// The lane is woken once for all that comes until it looks.
    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        let first = waiting.is_empty() && waiting.end == End::Open;
        put(&mut waiting);
        drop(waiting);
        if first {
            self.something.notify_one();
        }
    }
}

impl Waiting {
    /// Adds what has come later.
    pub(super) fn append(&mut self, mut later: Self) {
        self.arrivals.append(&mut later.arrivals);
        self.ready.append(&mut later.ready);
        self.spoken.append(&mut later.spoken);
        self.end = self.end.max(later.end);
    }

    /// Whether there is nobody to be served.
    pub(super) fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.ready.is_empty() && self.spoken.is_empty()
    }
}
