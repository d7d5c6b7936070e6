//! What the answer to a request may know of the connection that carries it, and do to it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use ports::inbound::Connection;

use super::reactor::ReactorHandle;

/// The connection that carries an answer; with HTTP/2, the one stream of it. It is in each request's extensions.
#[derive(Clone, Default)]
pub struct ConnectionHandle(Arc<HandleState>);

#[derive(Default)]
struct HandleState {
    written: AtomicU32,
    blocked: AtomicBool,
    pending: AtomicBool,
    /// Bits, so that they take one byte together.
    ends: AtomicU8,
    writer: Mutex<Writer>,
}

/// The connection was cut.
const CUT: u8 = 1;
/// The answer is about to end.
const FINISHING: u8 = 2;
/// The client did not take what was written in time.
const OVERDUE: u8 = 4;

/// Whoever writes to the connection.
enum Writer {
    /// A task, and how to wake it while it waits for something to write.
    /// Boxed, because most connections belong to the reactor and need no room for it.
    Task(Option<Box<Waker>>),
    /// The reactor.
    Reactor(ReactorHandle),
}

impl Default for Writer {
    fn default() -> Self {
        Self::Task(None)
    }
}

impl ConnectionHandle {
    /// Ends the connection at once and discards what its client has not read; an HTTP/2 stream is reset.
    pub fn cut(&self) {
        self.0.ends.fetch_or(CUT, Ordering::AcqRel);
        self.wake();
    }

    /// Whether the connection was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.has_end(CUT)
    }

    /// Cuts the connection because its client did not take what was written in time.
    pub(super) fn time_out(&self) {
        self.0.ends.fetch_or(OVERDUE, Ordering::AcqRel);
        self.cut();
    }

    /// Whether the connection was cut because its client did not take what was written in time.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.0.has_end(OVERDUE)
    }

    /// Starts the end of a streaming answer: from now on the client has the write timeout to take what is left, and no longer, however
    /// much of it is taken meanwhile.
    pub fn finish(&self) {
        Connection::finish(&*self.0);
    }

    /// Whether the answer is about to end.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.0.has_end(FINISHING)
    }

    /// Bytes that the kernel has taken, or HTTP/2's flow control; wraps after 4 GiB.
    #[must_use]
    pub fn written(&self) -> u32 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Whether there is something to write that the client does not take.
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

    /// Wakes whoever writes to the connection.
    pub fn wake(&self) {
        self.0.wake_writer();
    }

    /// The connection, as the application wakes and finishes it.
    #[must_use]
    pub fn connection(&self) -> Arc<dyn Connection> {
        Arc::clone(&self.0) as Arc<dyn Connection>
    }

    /// Records whether there is something to take that whoever writes to the connection has not asked for yet.
    pub fn set_pending(&self, pending: bool) {
        self.0.pending.store(pending, Ordering::Release);
    }

    /// Whether there is something to take that nobody has asked for, as when HTTP/2's flow control is closed.
    pub(super) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire)
    }

    /// From now on the reactor writes to the connection.
    pub(super) fn move_to_reactor(&self, handle: ReactorHandle) {
        *self.0.writer.lock() = Writer::Reactor(handle);
    }

    /// A waker of whoever writes to the connection.
    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.0).into()
    }

    /// Records the outcome of a write to the socket.
    pub(crate) fn record_write(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.add_written(*bytes);
                self.set_blocked(false);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.set_blocked(true),
        }
    }

    /// Records whether the client has to act before anything more can be written.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.0.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Records `bytes` that were taken.
    pub(super) fn add_written(&self, bytes: usize) {
        // Nobody writes 4 GiB at once.
        self.0.written.fetch_add(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

impl HandleState {
    fn has_end(&self, end: u8) -> bool {
        self.ends.load(Ordering::Acquire) & end != 0
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
        self.ends.fetch_or(FINISHING, Ordering::AcqRel);
        self.wake_writer();
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

/// There is one for each open stream, behind two counts.
#[test]
fn state_takes_little_memory() {
    assert!(size_of::<HandleState>() + 2 * size_of::<usize>() <= 48);
}
