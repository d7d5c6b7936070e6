//! What the answer to a request may know of the connection that the request came by, and do to it.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;

use super::reactor::ReactorHandle;

/// The connection that a request came by, as its answer may use it. It is in each request's extensions.
#[derive(Clone, Default)]
pub struct ConnectionHandle(Arc<HandleState>);

#[derive(Default)]
struct HandleState {
    written: AtomicU32,
    blocked: AtomicBool,
    cut: AtomicBool,
    writer: Mutex<Writer>,
}

/// Who writes to it.
enum Writer {
    /// A task; it is known how to wake it when it waits for something to write.
    /// Boxed, for the place would be there in each handle, and most are the lane's.
    Task(Option<Box<Waker>>),
    /// The lane.
    Reactor(ReactorHandle),
}

impl Default for Writer {
    fn default() -> Self {
        Self::Task(None)
    }
}

impl ConnectionHandle {
    /// Cuts it: nothing else would end a write to a client that does not read.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// How many bytes the kernel has taken; after 4 GiB it begins anew.
    #[must_use]
    pub fn written(&self) -> u32 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Whether something is to be written that the kernel does not take, because the client does not read.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed)
    }

    /// Whoever writes to it has nothing to write, and wants to be woken.
    pub fn wait(&self, context: &Context<'_>) {
        let mut writer = self.0.writer.lock();
        match &mut *writer {
            Writer::Task(Some(waker)) => (**waker).clone_from(context.waker()),
            Writer::Task(waker @ None) => *waker = Some(Box::new(context.waker().clone())),
            Writer::Reactor(_) => {}
        }
    }

    /// Wakes whoever writes to it.
    pub fn wake(&self) {
        self.0.wake_writer();
    }

    /// Waits until it is cut. To be awaited by the task that writes to it.
    pub(super) async fn until_cut(&self) {
        poll_fn(|context| {
            self.wait(context);
            if self.is_cut() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// From now on the lane writes to it.
    pub(super) fn belongs_to(&self, place: ReactorHandle) {
        *self.0.writer.lock() = Writer::Reactor(place);
    }

    /// Wakes whoever writes to it.
    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.0).into()
    }

    pub(in super::super) fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => {
                // Nobody writes 4 GiB at once.
                self.0.written.fetch_add(u32::try_from(*bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
                self.0.blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.0.blocked.store(true, Ordering::Relaxed),
        }
    }
}

impl HandleState {
    fn wake_writer(&self) {
        let mut writer = self.writer.lock();
        let task = match &mut *writer {
            Writer::Reactor(place) => return place.is_ready(),
            Writer::Task(waker) => waker.take(),
        };
        drop(writer);
        if let Some(waker) = task {
            waker.wake();
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

/// There is one of it for each open stream, behind two counts.
#[test]
fn a_line_takes_little_memory() {
    assert!(size_of::<HandleState>() + 2 * size_of::<usize>() <= 48);
}
