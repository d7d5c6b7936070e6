//! TLS on a socket, as hyper reads and writes it.

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    super::socket::{Socket, Transport, TransportParts},
    session::{Received, Session},
};

/// Maximum number of bytes read from the socket at a time.
const READ_BYTES: usize = 4096;
/// Maximum number of bytes encrypted at a time, and of those that wait when more are encrypted.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// A connection over TLS. It has buffers only while there is something in them.
pub(in crate::http_server) struct TlsStream {
    socket: Socket,
    /// Boxed, so that the handoff moves no large value.
    session: Box<Session>,
    /// The input that was not read yet.
    received: Received,
    /// The records that the socket has not taken yet.
    records: Vec<u8>,
}

impl TlsStream {
    /// Performs the handshake.
    ///
    /// # Errors
    ///
    /// The handshake fails, or the connection is lost.
    pub(super) async fn accept(socket: Socket, session: Session) -> io::Result<Self> {
        let session = Box::new(session);
        let mut stream = Self { socket, session, received: Received::default(), records: Vec::new() };
        poll_fn(|context| stream.poll_handshake(context)).await?;
        Ok(stream)
    }

    /// Returns the protocol that the handshake has negotiated.
    pub(in crate::http_server) fn protocol(&self) -> Option<&[u8]> {
        self.session.protocol()
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            if self.received.is_closed {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_write_records(context))?;
            ready!(self.poll_receive(context))?;
        }
        // The session tickets are written with the response, or while the connection waits for the request.
        Poll::Ready(Ok(()))
    }

    /// Receives the next bytes of the client.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The buffer is on the stack of the poll, so that an idle connection keeps none.
        let mut buffer = [mem::MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
        if read.filled().is_empty() {
            // A client that ends without an alert may be an attacker who cuts the connection (RFC 8446, 6.1).
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let processed = self.session.receive(read.filled_mut(), &mut self.received, &mut self.records);
        if processed.is_err() {
            // The client should get the alert. If its socket takes nothing, there is no other way to tell it.
            let _ = self.poll_write_records(context);
        }
        Poll::Ready(processed)
    }

    /// Writes the waiting records to the socket.
    fn poll_write_records(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.records.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &self.records))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.records.drain(..written);
        }
        self.records = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl Transport for TlsStream {
    fn into_parts(self) -> TransportParts {
        let Self { socket, session, received, records } = self;
        let unread = received.plaintext.len();
        TransportParts { socket, session: Some(session), unsent: records, unread }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received.plaintext.is_empty() && !self.received.is_closed {
            let received = self.poll_receive(context)?;
            // The records of the session itself, for example its tickets. The socket takes the rest later.
            if let Poll::Ready(Err(error)) = self.poll_write_records(context) {
                return Poll::Ready(Err(error));
            }
            ready!(received);
        }
        let plaintext = &mut self.received.plaintext;
        let taken = plaintext.len().min(buffer.remaining());
        buffer.put_slice(&plaintext[..taken]);
        plaintext.drain(..taken);
        if plaintext.is_empty() {
            *plaintext = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.records.len() >= MAX_WRITE_BYTES {
            ready!(self.poll_write_records(context))?;
        }
        let Self { session, records, .. } = &mut *self;
        let taken = bytes.len().min(MAX_WRITE_BYTES);
        session.encrypt(&bytes[..taken], records)?;
        // The next write or flush writes the records that the socket does not take now.
        if let Poll::Ready(Err(error)) = self.poll_write_records(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_records(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { session, records, .. } = &mut *self;
        // Called again, it adds nothing.
        session.close(records);
        ready!(self.poll_write_records(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
