//! Bodies of streaming responses, whose length is not known when they start.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Frame};

use super::BoxBody;

/// Number of bytes after which no more pieces are taken for one write. A single larger event is taken whole.
const MAX_WRITE_BYTES: usize = 64 * 1024;
/// Number of pieces after which no more are taken for one write.
const MAX_WRITE_PIECES: usize = 64;
/// Maximum number of slices of one write: the pieces, the chunk size and the end of the chunk.
pub(super) const MAX_WRITE_SLICES: usize = MAX_WRITE_PIECES + 2;
/// The last chunk (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const END_OF_CHUNK: &[u8] = b"\r\n";

/// The body of a streaming response whose head has been written.
pub(super) struct StreamingBody {
    body: BoxBody,
    chunked: bool,
    has_ended: bool,
}

impl StreamingBody {
    /// Creates a body. `chunked` is whether the head announces chunked transfer coding.
    pub(super) fn new(body: BoxBody, chunked: bool) -> Self {
        Self { body, chunked, has_ended: false }
    }

    /// Returns a body that has ended.
    pub(super) fn finished() -> Self {
        let body = BoxBody::new(Empty::new().map_err(|never| match never {}));
        Self { body, chunked: false, has_ended: true }
    }

    /// Returns whether chunked transfer coding is used.
    pub(super) fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// Returns whether the end of the body was taken.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns the next piece without chunked coding, which the caller adds. It must not be called again after the end or an error.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    /// Takes the available pieces up to the limits of one write, as one chunk, and returns whether there may be more.
    ///
    /// # Errors
    ///
    /// The body has failed.
    pub(super) fn take(&mut self, context: &mut Context<'_>, pieces: &mut Vec<Bytes>) -> io::Result<bool> {
        let mut bytes = 0;
        // Reserved for the chunk size.
        pieces.push(Bytes::new());
        let more = loop {
            if bytes >= MAX_WRITE_BYTES || pieces.len() >= MAX_WRITE_PIECES {
                break true;
            }
            match self.poll(context) {
                Poll::Ready(Some(frame)) => {
                    let data = frame?.into_data().unwrap_or_default();
                    bytes += data.len();
                    pieces.push(data);
                }
                Poll::Ready(None) => {
                    self.has_ended = true;
                    break false;
                }
                Poll::Pending => break false,
            }
        };
        if self.chunked && bytes > 0 {
            pieces[0] = chunk_size(bytes);
            pieces.push(Bytes::from_static(END_OF_CHUNK));
        }
        if self.chunked && self.has_ended {
            pieces.push(Bytes::from_static(LAST_CHUNK));
        }
        Ok(more)
    }
}

/// Returns the first line of a chunk with `bytes` bytes (RFC 9112, 7.1).
fn chunk_size(bytes: usize) -> Bytes {
    let mut line = [0; 2 * size_of::<usize>() + 2];
    let mut rest = &mut line[..];
    // The line has room for any number.
    write!(rest, "{bytes:x}\r\n").ok();
    let unused = rest.len();
    Bytes::copy_from_slice(&line[..line.len() - unused])
}
