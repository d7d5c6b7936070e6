//! An I/O wrapper that adds problem details to hyper's own HTTP/1.1 error responses.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rejection::Rejection;

/// A connection on which hyper's own error responses get problem details. hyper answers malformed requests by itself, with a head only, and
/// offers no hook to add a body.
pub(super) struct Http1Io<I> {
    inner: I,
    /// The rest of the response that replaces hyper's.
    rejection: Option<Bytes>,
}

impl<I> Http1Io<I> {
    pub(super) fn new(inner: I) -> Self {
        Self { inner, rejection: None }
    }

    pub(super) fn into_inner(self) -> I {
        self.inner
    }
}

impl<I: AsyncWrite + Unpin> Http1Io<I> {
    /// Writes the replacement for hyper's `written`, or returns `None` if there is none.
    fn poll_write_rejection(
        &mut self,
        context: &mut Context<'_>,
        written: &[u8],
    ) -> Poll<Option<io::Result<usize>>> {
        if self.rejection.is_none() {
            self.rejection = Rejection::for_hyper(written);
        }
        let Some(rejection) = &mut self.rejection else { return Poll::Ready(None) };
        while !rejection.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(context, rejection)) {
                Ok(taken) => rejection.advance(taken),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        self.rejection = None;
        Poll::Ready(Some(Ok(written.len())))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Http1Io<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Http1Io<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_write_rejection(context, bytes)) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(&mut self.inner).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // hyper's error responses have a head only, which is one slice.
        if let [head] = slices
            && let Some(written) = ready!(self.poll_write_rejection(context, head))
        {
            return Poll::Ready(written);
        }
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
