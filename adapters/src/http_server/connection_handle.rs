//! A handle by which the body of a response observes and controls the connection that carries it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use ports::inbound::{Connection, OnSuspended};

use super::reactor::ReactorHandle;

/// A handle of the connection that carries a response; with HTTP/2, of the response's stream. Each request has one in its extensions.
#[derive(Clone, Default)]
pub struct ConnectionHandle(Arc<HandleState>);

#[derive(Default)]
struct HandleState {
    written: AtomicU32,
    blocked: AtomicBool,
    pending: AtomicBool,
    /// [`CUT`], [`FINISHING`], [`TIMED_OUT`], [`SUSPENDED`] and [`RELEASED`] as bits, which take a single byte.
    flags: AtomicU8,
    writer: Mutex<Writer>,
}

/// The connection was cut.
const CUT: u8 = 1;
/// The response is about to end.
const FINISHING: u8 = 2;
/// The client did not take the written bytes in time.
const TIMED_OUT: u8 = 4;
/// The connection is suspended: nothing is taken from the body and nothing is written.
const SUSPENDED: u8 = 8;
/// Another process has continued the connection.
const RELEASED: u8 = 16;

/// The writer of the connection.
enum Writer {
    /// A task, with its waker while it waits for bytes to write. Boxed, because most connections belong to the reactor and need no room for
    /// it.
    Task(Option<Box<Waker>>),
    Reactor(ReactorHandle),
}

impl Default for Writer {
    fn default() -> Self {
        Self::Task(None)
    }
}

impl ConnectionHandle {
    /// Closes the connection at once with a reset, which discards unread bytes; an HTTP/2 stream is reset.
    pub fn cut(&self) {
        self.0.flags.fetch_or(CUT, Ordering::AcqRel);
        self.wake();
    }

    /// Returns whether the connection was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.has_flag(CUT)
    }

    /// Cuts the connection because its client did not take the written bytes in time.
    pub(super) fn time_out(&self) {
        self.0.flags.fetch_or(TIMED_OUT, Ordering::AcqRel);
        self.cut();
    }

    /// Returns whether the connection was cut because its client did not take the written bytes in time.
    #[must_use]
    pub fn has_timed_out(&self) -> bool {
        self.0.has_flag(TIMED_OUT)
    }

    /// Starts the end of a streaming response: from now on the client has the write timeout to take all remaining bytes. Progress does not
    /// extend it.
    pub fn finish(&self) {
        Connection::finish(&*self.0);
    }

    /// Returns whether the response is about to end.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.0.has_flag(FINISHING)
    }

    /// Returns whether the connection is suspended. The body must then return no bytes beyond those that it has already taken.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.0.has_flag(SUSPENDED)
    }

    /// Returns whether another process has continued the connection.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.0.has_flag(RELEASED)
    }

    /// Suspends the connection.
    pub(super) fn set_suspended(&self) {
        self.0.flags.fetch_or(SUSPENDED, Ordering::AcqRel);
    }

    /// Continues a suspended connection.
    pub(super) fn resume(&self) {
        Connection::resume(&*self.0);
    }

    /// Returns whether this is the handle of the same connection as `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the number of bytes taken by the kernel, or by HTTP/2's flow control. It wraps after 4 GiB.
    #[must_use]
    pub fn written(&self) -> u32 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Returns whether bytes wait because the client does not take them.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed)
    }

    /// Registers the task of `context`, which writes to the connection, to be woken by [`ConnectionHandle::wake`].
    pub fn register(&self, context: &Context<'_>) {
        let mut writer = self.0.writer.lock();
        match &mut *writer {
            Writer::Task(Some(waker)) => (**waker).clone_from(context.waker()),
            Writer::Task(waker @ None) => *waker = Some(Box::new(context.waker().clone())),
            Writer::Reactor(_) => {}
        }
    }

    /// Wakes the writer of the connection.
    pub fn wake(&self) {
        self.0.wake_writer();
    }

    /// Returns the connection as the application's port.
    #[must_use]
    pub fn connection(&self) -> Arc<dyn Connection> {
        Arc::clone(&self.0) as Arc<dyn Connection>
    }

    /// Records whether the body has bytes that the writer has not polled yet.
    pub fn set_pending(&self, pending: bool) {
        self.0.pending.store(pending, Ordering::Release);
    }

    /// Returns whether the body has bytes that the writer has not polled yet, for example because HTTP/2's flow control is closed.
    pub(super) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire)
    }

    /// Makes the reactor the writer of the connection.
    pub(super) fn move_to_reactor(&self, handle: ReactorHandle) {
        *self.0.writer.lock() = Writer::Reactor(handle);
    }

    /// Returns a waker that wakes the writer of the connection.
    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.0).into()
    }

    /// Records the result of a write to the socket.
    pub(crate) fn record_write(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.add_written(*bytes);
                self.set_blocked(false);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.set_blocked(true),
        }
    }

    /// Records whether the client has to read before more can be written.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.0.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Adds to the number of bytes taken.
    pub(super) fn add_written(&self, bytes: usize) {
        // No single write has 4 GiB.
        self.0.written.fetch_add(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

impl HandleState {
    fn has_flag(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    fn wake_writer(&self) {
        let mut writer = self.writer.lock();
        let task = match &mut *writer {
            Writer::Reactor(handle) => return handle.notify(),
            Writer::Task(waker) => waker.take(),
        };
        drop(writer);
        if let Some(waker) = task {
            waker.wake();
        }
    }
}

impl Connection for HandleState {
    fn wake(&self) -> bool {
        self.pending.store(true, Ordering::Release);
        self.wake_writer();
        !self.blocked.load(Ordering::Relaxed)
    }

    fn finish(&self) {
        self.flags.fetch_or(FINISHING, Ordering::AcqRel);
        self.wake_writer();
    }

    fn suspend(self: Arc<Self>, on_suspended: OnSuspended) {
        let writer = self.writer.lock();
        match &*writer {
            Writer::Reactor(reactor) => reactor.suspend(ConnectionHandle(Arc::clone(&self)), on_suspended),
            Writer::Task(_) => {
                drop(writer);
                on_suspended(None);
            }
        }
    }

    fn resume(&self) {
        self.flags.fetch_and(!SUSPENDED, Ordering::AcqRel);
        self.wake_writer();
    }

    fn release(self: Arc<Self>) {
        self.flags.fetch_or(RELEASED, Ordering::AcqRel);
        if let Writer::Reactor(reactor) = &*self.writer.lock() {
            reactor.release(ConnectionHandle(Arc::clone(&self)));
        }
    }
}

impl Wake for HandleState {
    fn wake(self: Arc<Self>) {
        self.wake_writer();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_writer();
    }
}

/// Each open stream has one in an `Arc`, which adds two counters.
#[test]
fn state_takes_little_memory() {
    assert!(size_of::<HandleState>() + 2 * size_of::<usize>() <= 48);
}
