//! A client's socket.

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
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::{ConnectionHandle, Protocol, excess_input::ExcessInput};

/// A client's socket, as hyper reads and writes it. When its connection is cut, what the client has not read is discarded: the kernel would
/// otherwise keep it for a peer that does not read.
pub(super) struct Socket {
    /// None once the reactor has it.
    stream: Option<TcpStream>,
    pub(super) handle: ConnectionHandle,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, handle: ConnectionHandle) -> Self {
        Self { stream: Some(stream), handle }
    }

    /// Finds out which protocol the client speaks.
    pub(super) async fn protocol(&self) -> io::Result<Protocol> {
        Protocol::of(self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?).await
    }

    /// Returns the bare socket, which the runtime no longer knows.
    pub(super) fn into_std(mut self) -> io::Result<std::net::TcpStream> {
        self.stream.take().ok_or(io::ErrorKind::NotConnected)?.into_std()
    }

    fn pinned(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        Ok(Pin::new(self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?))
    }
}

/// What a client's connection is read and written by: a socket, or TLS on one.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Returns the socket beneath.
    fn into_socket(self) -> Socket;
}

impl Transport for Socket {
    fn into_socket(self) -> Socket {
        self
    }
}

impl Transport for Box<TlsStream<Socket>> {
    fn into_socket(self) -> Socket {
        self.into_inner().0
    }
}

/// Tells the client that nothing more comes and waits until it has closed as well: a socket that is closed with something unread in
/// it discards what its client has not read yet. What the client sends is not read as TLS any more, for nobody answers it.
pub(super) async fn linger(mut transport: impl Transport) {
    if transport.shutdown().await.is_err() {
        return;
    }
    let (mut socket, mut input) = (transport.into_socket(), [0; 512]);
    let mut excess_input = ExcessInput::default();
    while let Ok(bytes @ 1..) = socket.read(&mut input).await {
        excess_input.add(bytes);
        if excess_input.exceeds_limit() {
            return;
        }
    }
}

/// Closes `socket` with a reset when it is dropped.
pub(super) fn reset_on_close<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = socket.into().set_linger(Some(Duration::ZERO)) {
        debug!(%error, "cut connection is not reset");
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
