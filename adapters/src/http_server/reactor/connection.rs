//! One connection in the lane.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;
use tokio::io::AsyncReadExt as _;
use tracing::debug;

use super::{
    super::{
        LINGER,
        connection_handle::ConnectionHandle,
        excess_input::ExcessInput,
        socket::reset_on_close,
        streaming_body::{MOST_PIECES, StreamingBody},
    },
    ReactorHandle,
};

/// Up to so many bytes are joined to one piece for the kernel.
const JOINED_BYTES: usize = 16 * 1024;

/// A connection whose head has been written.
pub(in super::super) struct Arrival {
    pub(in super::super) socket: std::net::TcpStream,
    pub(in super::super) handle: ConnectionHandle,
    pub(in super::super) body: StreamingBody,
    /// What was read behind the request.
    pub(in super::super) excess_input: ExcessInput,
}

/// A connection, of which only the body is still to be written.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) handle: ConnectionHandle,
    body: StreamingBody,
    /// What the kernel did not take.
    #[expect(
        clippy::box_collection,
        reason = "mostly there is none, and each connection has the place for it"
    )]
    rest: Option<Box<Vec<Bytes>>>,
    excess_input: ExcessInput,
}

/// Memory that is used for one connection after the other.
pub(super) struct Scratch {
    pieces: Vec<Bytes>,
    joined: Vec<u8>,
    excess_input: Box<[u8]>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), joined: Vec::new(), excess_input: vec![0; 4096].into() }
    }
}

/// What came of an attempt to write.
#[derive(Clone, Copy)]
pub(super) enum WriteOutcome {
    /// Everything that is there was written.
    Nothing,
    /// There is more to be written, when the others had their turn.
    More,
    /// The kernel does not take it.
    Blocked,
    /// The body has ended and is written.
    Ended,
    /// The handle is lost, or was cut.
    Broken,
}

impl Connection {
    pub(super) fn new(arrival: Arrival, place: ReactorHandle) -> Self {
        let Arrival { socket, handle, body, excess_input } = arrival;
        handle.belongs_to(place);
        Self { socket: TcpStream::from_std(socket), handle, body, rest: None, excess_input }
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(super) fn turn(&mut self, scratch: &mut Scratch) -> WriteOutcome {
        let waker = self.handle.waker();
        self.try_turn(&mut Context::from_waker(&waker), scratch).unwrap_or_else(|error| {
            debug!(%error, "a stream broke off");
            scratch.pieces.clear();
            WriteOutcome::Broken
        })
    }

    fn try_turn(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<WriteOutcome> {
        let Scratch { pieces, joined, .. } = scratch;
        if self.handle.is_cut() {
            self.cut();
            return Ok(WriteOutcome::Broken);
        }
        let more = if let Some(rest) = self.rest.take() {
            pieces.extend(*rest);
            true
        } else {
            self.body.take(context, pieces)?
        };
        Ok(match self.write(pieces, joined)? {
            Poll::Ready(()) if self.body.has_ended() => WriteOutcome::Ended,
            Poll::Ready(()) if more => WriteOutcome::More,
            Poll::Ready(()) => WriteOutcome::Nothing,
            Poll::Pending => {
                self.rest = Some(Box::new(std::mem::take(pieces)));
                WriteOutcome::Blocked
            }
        })
    }

    /// Ready when the kernel has taken all `pieces`; else they are what is left.
    fn write(&mut self, pieces: &mut Vec<Bytes>, joined: &mut Vec<u8>) -> io::Result<Poll<()>> {
        pieces.retain(|piece| !piece.is_empty());
        while !pieces.is_empty() {
            match self.write_once(pieces, joined) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.handle.note(&Poll::Ready(Ok(written)));
                    let mut left = written;
                    pieces.retain_mut(|piece| {
                        let taken = left.min(piece.len());
                        piece.advance(taken);
                        left -= taken;
                        !piece.is_empty()
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.handle.note(&Poll::Pending);
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
        let mut slices = [IoSlice::new(&[]); MOST_PIECES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        self.socket.write_vectored(&slices[..pieces.len().min(MOST_PIECES)])
    }

    /// Reads what the client has said, which interests nobody; true when it has gone, or has said too much.
    pub(super) fn has_left(&mut self, scratch: &mut Scratch) -> bool {
        loop {
            match self.socket.read(&mut scratch.excess_input) {
                Ok(0) => return true,
                Ok(bytes) => {
                    self.excess_input.add(bytes);
                    if self.excess_input.exceeds_limit() {
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
        reset_on_close(&self.socket);
    }

    /// Says that nothing more comes, and waits for the client to say so as well: a socket that is closed with something
    /// unread in it throws away what the client has not read yet.
    pub(super) fn linger(self) -> impl Future<Output = ()> + Send + 'static {
        // All else ends now.
        let socket = self.socket;
        async move {
            let socket = std::net::TcpStream::from(socket);
            let Ok(mut socket) =
                socket.shutdown(Shutdown::Write).and_then(|()| tokio::net::TcpStream::from_std(socket))
            else {
                return;
            };
            let mut excess_input = [0; 512];
            let end = async { while socket.read(&mut excess_input).await.is_ok_and(|bytes| bytes > 0) {} };
            tokio::time::timeout(LINGER, end).await.ok();
        }
    }
}
