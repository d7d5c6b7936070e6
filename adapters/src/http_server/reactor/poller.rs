//! What the kernel tells of the lane's sockets.

use std::{io, sync::Arc, thread};

use mio::{Events, Interest, Poll, Registry, Token, Waker, net::TcpStream};
use tracing::error;

use super::Inbox;

/// So many events are taken from the kernel at a time.
const EVENTS: usize = 1024;
/// No connection has this key.
const END: Token = Token(usize::MAX);

/// Watches sockets on a thread of its own, which sleeps for as long as nobody leaves, says something or reads again. The inbox
/// is told. When it is dropped the thread ends.
pub(super) struct Poller {
    registry: Registry,
    end: Waker,
}

impl Poller {
    pub(super) fn start(inbox: Arc<Inbox>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (registry, end) = (poll.registry().try_clone()?, Waker::new(poll.registry(), END)?);
        thread::Builder::new().name("lane".into()).spawn(move || {
            if let Err(error) = watch(poll, &inbox) {
                error!(%error, "ended streams are not noticed any more");
            }
        })?;
        Ok(Self { registry, end })
    }

    /// From now on it is told when the peer of `socket` leaves or says something.
    pub(super) fn add(&self, key: usize, socket: &mut TcpStream) -> io::Result<()> {
        self.registry.register(socket, Token(key), Interest::READABLE)
    }

    /// … and when it can be written to again, once it could not.
    pub(super) fn until_writable(&self, key: usize, socket: &mut TcpStream) -> io::Result<()> {
        self.registry.reregister(socket, Token(key), Interest::READABLE | Interest::WRITABLE)
    }

    /// From now on nothing is told of `socket`.
    pub(super) fn remove(&self, socket: &mut TcpStream) -> io::Result<()> {
        self.registry.deregister(socket)
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if let Err(error) = self.end.wake() {
            error!(%error, "a thread is left behind");
        }
    }
}

fn watch(mut poll: Poll, inbox: &Inbox) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => {}
            Ok(()) if events.iter().any(|event| event.token() == END) => return Ok(()),
            Ok(()) => inbox.heard(&events),
        }
    }
}
