//! Answers without an end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::Body as _;

use super::BoxBody;

/// So much is taken out of a body at a time …
const BURST_BYTES: usize = 64 * 1024;
/// … in so many pieces.
const BURST_PIECES: usize = 64;
/// The size of the chunk and its end are pieces as well.
pub(super) const MOST_PIECES: usize = BURST_PIECES + 2;
/// How an answer in chunks ends (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const END_OF_CHUNK: &[u8] = b"\r\n";

/// The body of an answer without an end, whose head has been written.
pub(super) struct Endless {
    pub(super) body: BoxBody,
    /// Whether the head has announced chunks.
    pub(super) chunked: bool,
}

/// What is behind a burst.
pub(super) enum Behind {
    /// Nothing, for now.
    Nothing,
    /// There may be more.
    More,
    /// The body has ended.
    End,
}

impl Endless {
    /// Takes out of the body what it has to give, up to a limit. All of it is one chunk.
    pub(super) fn take(&mut self, context: &mut Context<'_>, pieces: &mut Vec<Bytes>) -> io::Result<Behind> {
        let mut bytes = 0;
        // The place of the chunk's size.
        pieces.push(Bytes::new());
        let behind = loop {
            if bytes >= BURST_BYTES || pieces.len() >= BURST_PIECES {
                break Behind::More;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(frame)) => {
                    let data = frame?.into_data().unwrap_or_default();
                    bytes += data.len();
                    pieces.push(data);
                }
                Poll::Ready(None) => break Behind::End,
                Poll::Pending => break Behind::Nothing,
            }
        };
        if self.chunked && bytes > 0 {
            pieces[0] = format!("{bytes:x}\r\n").into();
            pieces.push(Bytes::from_static(END_OF_CHUNK));
        }
        if self.chunked && matches!(behind, Behind::End) {
            pieces.push(Bytes::from_static(LAST_CHUNK));
        }
        Ok(behind)
    }
}
