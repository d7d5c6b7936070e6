//! What the kernel reports of the reactor's sockets.

use std::{io, time::Duration};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use tokio::io::unix::AsyncFd;

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 1024;

/// Watches the sockets of the reactor. The runtime wakes the reactor when one of them has an event.
pub(super) struct Poller {
    poll: AsyncFd<Poll>,
    events: Events,
}

impl Poller {
    /// Called within a runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that close behind one's back; mio's Poll owns its own for as long as it lives"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let poll = AsyncFd::with_interest(Poll::new()?, tokio::io::Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS) })
    }

    /// Waits until there are events, which [`Poller::events`] returns. A call that is dropped before it is ready loses none.
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

    /// Looks whether there are events at present.
    pub(super) fn look(&mut self) -> io::Result<()> {
        poll(self.poll.get_mut(), &mut self.events)
    }

    /// The events that were there at the last look.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// From now on there is an event when the peer of `socket` sends something or closes.
    pub(super) fn add(&self, key: usize, socket: &mut TcpStream) -> io::Result<()> {
        self.poll.get_ref().registry().register(socket, Token(key), Interest::READABLE)
    }

    /// From now on there is also an event when `socket` can be written to again.
    pub(super) fn until_writable(&self, key: usize, socket: &mut TcpStream) -> io::Result<()> {
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
