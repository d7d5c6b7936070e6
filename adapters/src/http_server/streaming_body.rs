//! Streaming answers: those whose length is not known when they begin.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Frame};

use super::BoxBody;

/// Bytes that are taken out of a body for one write, or one larger event.
const BURST_BYTES: usize = 64 * 1024;
/// Pieces that are taken for one write.
const BURST_PIECES: usize = 64;
/// Pieces of one write: the size of the chunk and its end are pieces as well.
pub(super) const MAX_PIECES: usize = BURST_PIECES + 2;
/// How an answer in chunks ends (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const END_OF_CHUNK: &[u8] = b"\r\n";

/// The body of a streaming answer whose head has been written.
pub(super) struct StreamingBody {
    body: BoxBody,
    chunked: bool,
    has_ended: bool,
}

impl StreamingBody {
    /// A body of which nothing was taken yet. `chunked` says whether the head has announced chunks.
    pub(super) fn new(body: BoxBody, chunked: bool) -> Self {
        Self { body, chunked, has_ended: false }
    }

    /// A body that has ended.
    pub(super) fn finished() -> Self {
        let body = BoxBody::new(Empty::new().map_err(|never| match never {}));
        Self { body, chunked: false, has_ended: true }
    }

    /// Whether its end was taken.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns the next piece, for somebody else to write. It must not be called again after the end or an error.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    /// Takes what the body has to give, up to a limit, as one chunk; true when there may be more.
    pub(super) fn take(&mut self, context: &mut Context<'_>, pieces: &mut Vec<Bytes>) -> io::Result<bool> {
        let mut bytes = 0;
        // For the size of the chunk.
        pieces.push(Bytes::new());
        let more = loop {
            if bytes >= BURST_BYTES || pieces.len() >= BURST_PIECES {
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

/// The first line of a chunk of so many bytes (RFC 9112, 7.1).
fn chunk_size(bytes: usize) -> Bytes {
    let mut line = [0; 2 * size_of::<usize>() + 2];
    let mut rest = &mut line[..];
    // There is room for any number.
    write!(rest, "{bytes:x}\r\n").ok();
    let unused = rest.len();
    Bytes::copy_from_slice(&line[..line.len() - unused])
}
