//! Readiness of the reactor's sockets.

use std::{io, time::Duration};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use tokio::io::unix::AsyncFd;

/// Maximum number of events taken from the kernel at a time.
const EVENTS: usize = 1024;

/// A mio poll within the tokio runtime, which wakes the reactor when a socket has an event.
pub(super) struct Poller {
    poll: AsyncFd<Poll>,
    events: Events,
}

impl Poller {
    /// Creates a poller without sockets.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[expect(
        deprecated,
        reason = "the replacement is unsafe, because a descriptor might be closed elsewhere; mio's Poll owns its descriptor"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let poll = AsyncFd::with_interest(Poll::new()?, tokio::io::Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS) })
    }

    /// Waits for events, which [`Poller::events`] returns.
    ///
    /// Cancellation safe: the future takes events only when it is ready, so a dropped one loses none.
    pub(super) async fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.poll.readable_mut().await?;
            poll(ready.get_inner_mut(), &mut self.events)?;
            if !self.events.is_empty() {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Polls for events without waiting.
    pub(super) fn poll_now(&mut self) -> io::Result<()> {
        poll(self.poll.get_mut(), &mut self.events)
    }

    /// Returns the events of the last poll.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Registers `socket` for events when its peer sends bytes or closes.
    pub(super) fn register(&self, key: usize, socket: &mut TcpStream) -> io::Result<()> {
        self.poll.get_ref().registry().register(socket, Token(key), Interest::READABLE)
    }

    /// Removes `socket`. Dropping it would not be enough if another process has a descriptor of it too.
    pub(super) fn deregister(&self, socket: &mut TcpStream) -> io::Result<()> {
        self.poll.get_ref().registry().deregister(socket)
    }

    /// Registers `socket` also for events when it becomes writable.
    pub(super) fn register_writable(&self, key: usize, socket: &mut TcpStream) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.get_ref().registry().reregister(socket, Token(key), interest)
    }
}

fn poll(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, Some(Duration::ZERO)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
