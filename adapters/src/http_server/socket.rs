//! The socket of a client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tracing::debug;

use super::{ConnectionHandle, Protocol, excess_input::ExcessInput, tls::Session};

/// The socket of a client, as hyper reads and writes it. A cut connection closes with a reset, because the kernel would keep the unread
/// bytes of a peer that does not read.
pub(super) struct Socket {
    /// `None` after the handoff to the reactor.
    stream: Option<TcpStream>,
    pub(super) handle: ConnectionHandle,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, handle: ConnectionHandle) -> Self {
        Self { stream: Some(stream), handle }
    }

    /// Detects the protocol of the client.
    pub(super) async fn protocol(&self) -> io::Result<Protocol> {
        Protocol::peek(self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?).await
    }

    /// Deregisters the socket from the runtime and returns it.
    pub(super) fn into_std(mut self) -> io::Result<std::net::TcpStream> {
        self.stream.take().ok_or(io::ErrorKind::NotConnected)?.into_std()
    }

    fn pinned(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        Ok(Pin::new(self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?))
    }
}

/// The byte stream of a connection: a socket, or TLS on a socket.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Returns the underlying socket with what belongs to it.
    fn into_parts(self) -> TransportParts;
}

/// The parts of a transport.
pub(super) struct TransportParts {
    pub(super) socket: Socket,
    /// The session of a transport over TLS.
    pub(super) session: Option<Box<Session>>,
    /// The bytes that the socket has not taken yet.
    pub(super) unsent: Vec<u8>,
    /// The number of bytes received that nobody has read yet.
    pub(super) unread: usize,
}

impl Transport for Socket {
    fn into_parts(self) -> TransportParts {
        TransportParts { socket: self, session: None, unsent: Vec::new(), unread: 0 }
    }
}

/// Performs a lingering close: shuts down the sending side and waits until the client has closed too. Closing a socket with unread input
/// would send a reset, which discards bytes that the client has not read yet. The remaining input is not decrypted, because nothing answers
/// it.
pub(super) async fn linger(mut transport: impl Transport) {
    if transport.shutdown().await.is_err() {
        return;
    }
    let (mut socket, mut input) = (transport.into_parts().socket, [0; 512]);
    let mut excess_input = ExcessInput::default();
    while let Ok(bytes @ 1..) = socket.read(&mut input).await {
        excess_input.add(bytes);
        if excess_input.exceeds_limit() {
            return;
        }
    }
}

/// Makes `socket` close with a reset when it is dropped.
pub(super) fn reset_on_close<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = socket.into().set_linger(Some(Duration::ZERO)) {
        debug!(%error, "connection cut without a reset");
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.as_ref().filter(|_| self.handle.is_cut()) {
            reset_on_close(stream);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.pinned()?.poll_write(context, buffer);
        self.handle.record_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.pinned()?.poll_write_vectored(context, buffers);
        self.handle.record_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
