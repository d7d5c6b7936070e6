//! A client's socket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tracing::debug;

use super::{ConnectionHandle, Protocol};

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
