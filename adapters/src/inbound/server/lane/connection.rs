//! One connection in the lane.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use hyper::body::Body as _;
use mio::net::TcpStream;
use tokio::io::AsyncReadExt as _;
use tracing::debug;

use super::{
    super::{BoxBody, line::Line, socket::throw_away_the_rest},
    Place,
};

/// So much a client may send behind its request. Nobody reads it.
const MOST_UNASKED_BYTES: u32 = 64 * 1024;
/// So much is taken out of a body for one write …
const BURST_BYTES: usize = 64 * 1024;
/// … in so many pieces.
const BURST_PIECES: usize = 64;
/// The size of the chunk and its end are pieces as well.
const BURST_SLICES: usize = BURST_PIECES + 2;
/// Up to so many bytes are joined to one piece for the kernel.
const JOINED_BYTES: usize = 16 * 1024;
/// How long a client has to close its side when everything was written.
const FAREWELL: Duration = Duration::from_secs(5);
/// How an answer in chunks ends (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const END_OF_CHUNK: &[u8] = b"\r\n";

/// A connection whose head has been written.
pub(in super::super) struct Arrival {
    pub(in super::super) socket: std::net::TcpStream,
    pub(in super::super) line: Line,
    pub(in super::super) body: BoxBody,
    /// Whether the head has announced chunks.
    pub(in super::super) chunked: bool,
    /// How many bytes were read behind the request.
    pub(in super::super) unasked_bytes: usize,
}

/// A connection, of which only the body is still to be written.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) line: Line,
    body: BoxBody,
    /// What the kernel did not take.
    #[expect(
        clippy::box_collection,
        reason = "mostly there is none, and each connection has the place for it"
    )]
    rest: Option<Box<Vec<Bytes>>>,
    unasked_bytes: u32,
    chunked: bool,
    ended: bool,
}

/// Memory that is used for one connection after the other.
pub(super) struct Scratch {
    pieces: Vec<Bytes>,
    joined: Vec<u8>,
    unasked: Box<[u8]>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), joined: Vec::new(), unasked: vec![0; 4096].into() }
    }
}

/// What came of an attempt to write.
pub(super) enum Turn {
    /// Everything that is there was written.
    Nothing,
    /// There is more to be written, when the others had their turn.
    More,
    /// The kernel does not take it.
    Blocked,
    /// The body has ended and is written.
    Ended,
    /// The line is lost, or was cut.
    Broken,
}

impl Connection {
    pub(super) fn new(arrival: Arrival, place: Place) -> Self {
        let Arrival { socket, line, body, chunked, unasked_bytes } = arrival;
        line.belongs_to(place);
        Self {
            socket: TcpStream::from_std(socket),
            line,
            body,
            rest: None,
            unasked_bytes: u32::try_from(unasked_bytes).unwrap_or(u32::MAX),
            chunked,
            ended: false,
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(super) fn turn(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Turn {
        self.try_turn(context, scratch).unwrap_or_else(|error| {
            debug!(%error, "a stream broke off");
            scratch.pieces.clear();
            Turn::Broken
        })
    }

    fn try_turn(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Turn> {
        let Scratch { pieces, joined, .. } = scratch;
        if self.line.is_cut() {
            self.cut();
            return Ok(Turn::Broken);
        }
        let more = match self.rest.take() {
            Some(rest) => {
                pieces.extend(*rest);
                true
            }
            None => self.gather(context, pieces)?,
        };
        Ok(match self.write(pieces, joined)? {
            Poll::Ready(()) if self.ended => Turn::Ended,
            Poll::Ready(()) if more => Turn::More,
            Poll::Ready(()) => Turn::Nothing,
            Poll::Pending => {
                self.rest = Some(Box::new(std::mem::take(pieces)));
                Turn::Blocked
            }
        })
    }

    /// Takes out of the body what it has to give, up to a limit; true when there may be more. All of it is one chunk.
    fn gather(&mut self, context: &mut Context<'_>, pieces: &mut Vec<Bytes>) -> io::Result<bool> {
        let mut bytes = 0;
        // The place of the chunk's size.
        pieces.push(Bytes::new());
        let more = loop {
            if bytes >= BURST_BYTES || pieces.len() >= BURST_PIECES {
                break true;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(frame)) => {
                    let data = frame?.into_data().unwrap_or_default();
                    bytes += data.len();
                    pieces.push(data);
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break false;
                }
                Poll::Pending => break false,
            }
        };
        if self.chunked && bytes > 0 {
            pieces[0] = format!("{bytes:x}\r\n").into();
            pieces.push(Bytes::from_static(END_OF_CHUNK));
        }
        if self.chunked && self.ended {
            pieces.push(Bytes::from_static(LAST_CHUNK));
        }
        Ok(more)
    }

    /// Ready when the kernel has taken all `pieces`; else they are what is left.
    fn write(&mut self, pieces: &mut Vec<Bytes>, joined: &mut Vec<u8>) -> io::Result<Poll<()>> {
        pieces.retain(|piece| !piece.is_empty());
        while !pieces.is_empty() {
            match self.write_once(pieces, joined) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.line.note(&Poll::Ready(Ok(written)));
                    let mut left = written;
                    pieces.retain_mut(|piece| {
                        let taken = left.min(piece.len());
                        piece.advance(taken);
                        left -= taken;
                        !piece.is_empty()
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.line.note(&Poll::Pending);
                    return Ok(Poll::Pending);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// What is small is joined: one piece costs the kernel less than several.
    fn write_once(&mut self, pieces: &[Bytes], joined: &mut Vec<u8>) -> io::Result<usize> {
        if pieces.iter().map(Bytes::len).sum::<usize>() <= JOINED_BYTES {
            joined.clear();
            for piece in pieces {
                joined.extend_from_slice(piece);
            }
            return self.socket.write(joined);
        }
        let mut slices = [IoSlice::new(&[]); BURST_SLICES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        self.socket.write_vectored(&slices[..pieces.len().min(BURST_SLICES)])
    }

    /// Reads what the client has said, which interests nobody; true when it has gone, or has said too much.
    pub(super) fn has_left(&mut self, scratch: &mut Scratch) -> bool {
        loop {
            match self.socket.read(&mut scratch.unasked) {
                Ok(0) => return true,
                Ok(bytes) => {
                    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                    self.unasked_bytes = self.unasked_bytes.saturating_add(bytes);
                    if self.unasked_bytes > MOST_UNASKED_BYTES {
                        debug!("a client has said more behind its request than anybody would");
                        self.cut();
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }

    /// Its end will be a reset.
    pub(super) fn cut(&self) {
        throw_away_the_rest(&self.socket);
    }

    /// Says that nothing more comes, and waits for the client to say so as well: a socket that is closed with something
    /// unread in it throws away what the client has not read yet.
    pub(super) fn farewell(self) -> impl Future<Output = ()> + Send + 'static {
        // All else ends now.
        let socket = self.socket;
        async move {
            let socket = std::net::TcpStream::from(socket);
            let Ok(mut socket) =
                socket.shutdown(Shutdown::Write).and_then(|()| tokio::net::TcpStream::from_std(socket))
            else {
                return;
            };
            let mut unasked = [0; 512];
            let end = async { while socket.read(&mut unasked).await.is_ok_and(|bytes| bytes > 0) {} };
            tokio::time::timeout(FAREWELL, end).await.ok();
        }
    }
}
