//! A socket that sends small pieces up to a total limit.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A writer of pieces of at most `piece` bytes that fails after `left` bytes. Other tasks run between two pieces, so
/// that the server often reads each piece by itself.
pub(super) struct Throttled<'a> {
    pub(super) socket: &'a mut TcpStream,
    pub(super) piece: usize,
    pub(super) left: usize,
    pub(super) rested: bool,
}

impl AsyncRead for Throttled<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Throttled<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("all that is to be sent has gone")));
        }
        self.rested = !self.rested;
        if self.rested {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = bytes.len().min(self.piece).min(self.left);
        let written = Pin::new(&mut *self.socket).poll_write(context, &bytes[..piece]);
        if let Poll::Ready(Ok(written)) = written {
            self.left -= written;
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
