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

use super::{connection_handle::ConnectionHandle, protocol};

/// A client's socket, as hyper reads and writes it. When its handle is cut, what the client has not read is thrown away with
/// it: a peer that does not read would otherwise keep it in the kernel.
pub(super) struct Socket {
    /// None when it was taken out, to be written to by others.
    stream: Option<TcpStream>,
    pub(super) handle: ConnectionHandle,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, handle: ConnectionHandle) -> Self {
        Self { stream: Some(stream), handle }
    }

    /// Whether its client begins with HTTP/2.
    pub(super) async fn speaks_http_2(&self) -> io::Result<bool> {
        protocol::is_http_2(self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?).await
    }

    /// The bare socket, of which the runtime knows no more.
    pub(super) fn into_std(mut self) -> io::Result<std::net::TcpStream> {
        self.stream.take().ok_or(io::ErrorKind::NotConnected)?.into_std()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        Ok(Pin::new(self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?))
    }
}

/// From now on the end of `socket` is a reset.
pub(super) fn reset_on_close<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = socket.into().set_linger(Some(Duration::ZERO)) {
        debug!(%error, "a cut connection lingers");
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
        self.stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(context, buffer);
        self.handle.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(context, buffers);
        self.handle.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
