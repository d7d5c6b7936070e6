//! The adoption of connections that another process has suspended.

use std::{io, net::TcpStream, sync::Arc};

use ports::inbound::SuspendedConnection;

use super::{
    ConnectionHandle,
    admission::Connections,
    excess_input::ExcessInput,
    reactor::{Inbox, NewConnection},
    streaming_body::StreamingBody,
};

/// Continues connections of another process on the reactor of a server.
pub struct Adoption {
    pub(super) inbox: Arc<Inbox>,
    pub(super) connections: Arc<Connections>,
}

impl Adoption {
    /// Continues a connection, whatever the limit of connections. `body` returns the rest of the response's body.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be used.
    pub fn adopt(
        &self,
        suspended: SuspendedConnection,
        body: impl FnOnce(ConnectionHandle) -> poem::Body,
    ) -> io::Result<()> {
        let SuspendedConnection { socket, unsent, is_chunked, excess_bytes } = suspended;
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        let handle = ConnectionHandle::default();
        let body = StreamingBody::new(body(handle.clone()).into(), is_chunked);
        let excess_input = ExcessInput::of(excess_bytes);
        self.connections.enter().hand_over();
        self.inbox.hand_off(NewConnection { socket, session: None, handle, body, unsent, excess_input });
        Ok(())
    }

    /// Returns how many more connections there may be.
    #[must_use]
    pub fn room(&self) -> usize {
        self.connections.room()
    }
}
