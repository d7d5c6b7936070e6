//! The queue by which other threads reach the reactor.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use ports::inbound::OnSuspended;
use tokio::sync::Notify;

use super::{super::ConnectionHandle, NewConnection};

/// A queue of connections that are handed off to the reactor, and of notifications for its connections.
#[derive(Default)]
pub(in super::super) struct Inbox {
    incoming: Mutex<Incoming>,
    changed: Notify,
}

/// The entries since the reactor last took them.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) new_connections: VecDeque<NewConnection>,
    /// Keys of connections that may have bytes to write.
    pub(super) ready: VecDeque<usize>,
    /// Connections to suspend.
    pub(super) suspensions: VecDeque<Suspension>,
    /// Suspended connections that another process continues, with their keys.
    pub(super) released: VecDeque<(usize, ConnectionHandle)>,
    /// The requested shutdown.
    pub(super) shutdown: ShutdownMode,
}

/// A connection to suspend.
pub(super) struct Suspension {
    pub(super) key: usize,
    /// The handle of the connection, because the key may belong to another one by now.
    pub(super) handle: ConnectionHandle,
    pub(super) on_suspended: OnSuspended,
}

/// How the reactor shuts down.
#[derive(Clone, Copy, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum ShutdownMode {
    /// It keeps running.
    #[default]
    Running,
    /// It ends when no connection is left. No more are handed off.
    WhenEmpty,
    /// It ends at once.
    Now,
}

/// A handle by which other threads notify a connection of the reactor.
pub(in super::super) struct ReactorHandle {
    inbox: Arc<Inbox>,
    key: u32,
}

impl ReactorHandle {
    pub(super) fn new(inbox: Arc<Inbox>, key: usize) -> Self {
        Self { inbox, key: u32::try_from(key).unwrap_or(u32::MAX) }
    }

    /// Queues the suspension of the connection, whose handle is `handle`.
    pub(in super::super) fn suspend(&self, handle: ConnectionHandle, on_suspended: OnSuspended) {
        let key = self.key as usize;
        self.inbox
            .update(|incoming| incoming.suspensions.push_back(Suspension { key, handle, on_suspended }));
    }

    /// Queues the release of the connection, whose handle is `handle` and which is suspended.
    pub(in super::super) fn release(&self, handle: ConnectionHandle) {
        self.inbox.update(|incoming| incoming.released.push_back((self.key as usize, handle)));
    }

    /// Queues the connection as ready.
    pub(in super::super) fn notify(&self) {
        self.inbox.update(|incoming| incoming.ready.push_back(self.key as usize));
    }
}

impl Inbox {
    /// Hands off a connection to the reactor. Its response head has been written.
    pub(in super::super) fn hand_off(&self, new_connection: NewConnection) {
        self.update(|incoming| incoming.new_connections.push_back(new_connection));
    }

    /// Requests the shutdown. After [`ShutdownMode::WhenEmpty`] no connection may be handed off.
    pub(in super::super) fn shut_down(&self, mode: ShutdownMode) {
        self.update(|incoming| incoming.shutdown = incoming.shutdown.max(mode));
    }

    /// Waits for entries and takes them.
    pub(super) async fn incoming(&self) -> Incoming {
        self.changed.notified().await;
        self.take()
    }

    /// Takes the entries.
    pub(super) fn take(&self) -> Incoming {
        std::mem::take(&mut *self.incoming.lock())
    }

    /// Adds an entry. Only the first entry since the last take wakes the reactor.
    fn update(&self, update: impl FnOnce(&mut Incoming)) {
        let mut incoming = self.incoming.lock();
        let first = incoming.is_empty() && incoming.shutdown == ShutdownMode::Running;
        update(&mut incoming);
        drop(incoming);
        if first {
            self.changed.notify_one();
        }
    }
}

impl Incoming {
    /// Returns whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.new_connections.is_empty()
            && self.ready.is_empty()
            && self.suspensions.is_empty()
            && self.released.is_empty()
    }
}
