//! One connection in the reactor.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;
use tokio_util::time::delay_queue;
use tracing::debug;

use super::{
    super::{
        ConnectionHandle,
        excess_input::ExcessInput,
        socket::reset_on_close,
        streaming_body::{MAX_PIECES, StreamingBody},
    },
    ReactorHandle,
};

/// Up to so many bytes are joined to one piece for the kernel.
const JOINED_BYTES: usize = 16 * 1024;

/// A connection that was handed off to the reactor. Its head has been written.
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
    /// Boxed, because mostly nothing waits for the client, and each connection has room for it.
    pub(super) unfinished: Option<Box<Unfinished>>,
    excess_input: ExcessInput,
}

/// What is known of a connection while it waits for its client.
#[derive(Default)]
pub(super) struct Unfinished {
    /// What the kernel did not take.
    pieces: Vec<Bytes>,
    /// When the client has to have done something.
    pub(super) deadline: Option<delay_queue::Key>,
    /// The deadline is that of the connection's end, which no progress defers.
    pub(super) is_last: bool,
}

/// Memory that is used for one connection after the other.
pub(super) struct Scratch {
    pieces: Vec<Bytes>,
    joined: Vec<u8>,
    input: Box<[u8]>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), joined: Vec::new(), input: vec![0; 4096].into() }
    }
}

/// What came of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// Everything that is there was written.
    Idle,
    /// There is more to write, when others had their turn.
    MoreToWrite,
    /// The kernel does not take it at present; whether it has taken some.
    WouldBlock { progressed: bool },
    /// The body has ended and is written.
    Finished,
    /// The connection is lost or was cut.
    Failed,
}

impl Connection {
    pub(super) fn new(arrival: Arrival, place: ReactorHandle) -> Self {
        let Arrival { socket, handle, body, excess_input } = arrival;
        handle.move_to_reactor(place);
        Self { socket: TcpStream::from_std(socket), handle, body, unfinished: None, excess_input }
    }

    /// Writes what there is, as far as the kernel takes it.
    pub(super) fn write(&mut self, scratch: &mut Scratch) -> WriteOutcome {
        let waker = self.handle.waker();
        self.try_write(&mut Context::from_waker(&waker), scratch).unwrap_or_else(|error| {
            debug!(%error, "stream broke off");
            scratch.pieces.clear();
            WriteOutcome::Failed
        })
    }

    fn try_write(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<WriteOutcome> {
        let Scratch { pieces, joined, .. } = scratch;
        if self.handle.is_cut() {
            self.reset();
            return Ok(WriteOutcome::Failed);
        }
        if let Some(unfinished) = &mut self.unfinished {
            pieces.append(&mut unfinished.pieces);
        }
        let more = if !pieces.is_empty() {
            true
        } else if self.body.has_ended() {
            return Ok(WriteOutcome::Idle);
        } else {
            self.body.take(context, pieces)?
        };
        let written_before = self.handle.written();
        Ok(match self.write_pieces(pieces, joined)? {
            Poll::Ready(()) if self.body.has_ended() => WriteOutcome::Finished,
            Poll::Ready(()) if more => WriteOutcome::MoreToWrite,
            Poll::Ready(()) => WriteOutcome::Idle,
            Poll::Pending => {
                self.unfinished.get_or_insert_default().pieces.append(pieces);
                WriteOutcome::WouldBlock { progressed: self.handle.written() != written_before }
            }
        })
    }

    /// Ready when the kernel has taken all `pieces`; else they are what is left.
    fn write_pieces(&mut self, pieces: &mut Vec<Bytes>, joined: &mut Vec<u8>) -> io::Result<Poll<()>> {
        pieces.retain(|piece| !piece.is_empty());
        while !pieces.is_empty() {
            match self.write_once(pieces, joined) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.handle.record_write(&Poll::Ready(Ok(written)));
                    let mut left = written;
                    pieces.retain_mut(|piece| {
                        let taken = left.min(piece.len());
                        piece.advance(taken);
                        left -= taken;
                        !piece.is_empty()
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.handle.record_write(&Poll::Pending);
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
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        self.socket.write_vectored(&slices[..pieces.len().min(MAX_PIECES)])
    }

    /// Reads what the client has sent, which interests nobody; true when it has gone or has sent too much.
    pub(super) fn has_gone(&mut self, scratch: &mut Scratch) -> bool {
        loop {
            match self.socket.read(&mut scratch.input) {
                Ok(0) => return true,
                Ok(bytes) => {
                    self.excess_input.add(bytes);
                    if self.excess_input.exceeds_limit() {
                        debug!("too much data after the request");
                        self.reset();
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }

    /// Whether the client has to act before the connection goes on: take what waits, or close.
    pub(super) fn waits_for_client(&self) -> bool {
        self.body.has_ended()
            || self.unfinished.as_ref().is_some_and(|unfinished| !unfinished.pieces.is_empty())
    }

    /// Whether the answer is about to end or has ended.
    pub(super) fn is_ending(&self) -> bool {
        self.body.has_ended() || self.handle.is_finishing()
    }

    /// Closes with a reset when it is dropped: what its client has not read is discarded.
    pub(super) fn reset(&self) {
        reset_on_close(&self.socket);
    }

    /// Tells the client that nothing more comes. The connection stays until the client has closed as well: a socket that is closed with
    /// something unread in it discards what its client has not read yet.
    pub(super) fn linger(&mut self) -> io::Result<()> {
        // All else of the stream ends now.
        self.body = StreamingBody::finished();
        self.socket.shutdown(Shutdown::Write)
    }
}
