//! The suspension of a connection, which another process continues.

use std::{os::fd::AsFd as _, task::Context};

use ports::inbound::SuspendedConnection;
use tracing::debug;

use super::Connection;

impl Connection {
    /// Suspends the connection, unless it is ending or uses TLS. Returns what another process needs to continue it.
    ///
    /// The bytes that the body has taken from the stream belong to the unsent ones. The body takes no more, because the handle says that
    /// the connection is suspended.
    pub(in super::super) fn suspend(&mut self) -> Option<SuspendedConnection> {
        if self.is_ending() || self.handle.is_cut() || self.session().is_some() {
            return None;
        }
        self.handle.set_suspended();
        let suspended = self.take_unsent().and_then(|()| self.continuation());
        if suspended.is_none() {
            self.handle.resume();
        }
        suspended
    }

    /// Takes the bytes that the body has taken from the stream. None if the body has ended or failed.
    fn take_unsent(&mut self) -> Option<()> {
        let waker = self.handle.waker();
        let mut context = Context::from_waker(&waker);
        let mut unsent = Vec::new();
        let taken = loop {
            // Each call makes one chunk of the pieces, up to the limits of one write.
            let mut pieces = Vec::new();
            match self.body.take(&mut context, &mut pieces) {
                Ok(more) => {
                    unsent.append(&mut pieces);
                    if !more {
                        break !self.body.has_ended();
                    }
                }
                // The next write meets the error again.
                Err(_) => break false,
            }
        };
        unsent.retain(|piece| !piece.is_empty());
        if !unsent.is_empty() {
            self.state.get_or_insert_default().pieces.append(&mut unsent);
        }
        taken.then_some(())
    }

    fn continuation(&self) -> Option<SuspendedConnection> {
        let socket = match self.socket.as_fd().try_clone_to_owned() {
            Ok(socket) => socket,
            Err(error) => {
                debug!(%error, "connection cannot be handed over");
                return None;
            }
        };
        let pieces = self.state.iter().flat_map(|state| &state.pieces);
        let unsent: Vec<_> = pieces.flatten().copied().collect();
        Some(SuspendedConnection {
            socket,
            unsent: unsent.into(),
            is_chunked: self.body.is_chunked(),
            excess_bytes: self.excess_input.bytes(),
        })
    }
}
