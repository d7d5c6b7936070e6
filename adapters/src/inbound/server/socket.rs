//! A client's socket, and what the answer to its request may know of it and do to it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The connection that a request came by, as its answer may use it. It is in each request's extensions.
#[derive(Clone, Default)]
pub struct Line(Arc<LineState>);

#[derive(Default)]
struct LineState {
    cut: CancellationToken,
    written: AtomicU64,
    blocked: AtomicBool,
    /// Counts the requests on a connection that several share.
    _request: Option<Arc<()>>,
}

impl Line {
    pub(super) fn new(cut: CancellationToken) -> Self {
        Self(Arc::new(LineState { cut, ..LineState::default() }))
    }

    /// That of one request among others: what is done to it concerns no line. `requests` has one holder more until it ends.
    pub(super) fn shared(requests: Arc<()>) -> Self {
        Self(Arc::new(LineState { _request: Some(requests), ..LineState::default() }))
    }

    /// Cuts it: nothing else would end a write to a client that does not read.
    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    /// Whether it was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.cut.is_cancelled()
    }

    /// How many bytes the kernel has taken.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Whether something is to be written that the kernel does not take, because the client does not read.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed)
    }

    pub(in super::super) fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.0.written.fetch_add(*bytes as u64, Ordering::Relaxed);
                self.0.blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.0.blocked.store(true, Ordering::Relaxed),
        }
    }
}

/// A client's socket. When its line is cut, what the client has not read is thrown away with it: a peer that does not
/// read would otherwise keep it in the kernel.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) line: Line,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.line.is_cut()
            && let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
        {
            debug!(%error, "a cut connection lingers");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.line.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.line.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
