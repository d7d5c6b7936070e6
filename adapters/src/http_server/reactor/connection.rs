//! A connection of the reactor.

mod encryption;
mod suspension;

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    mem,
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
        streaming_body::{MAX_WRITE_SLICES, StreamingBody},
        tls::Session,
    },
    ReactorHandle,
};

/// Size up to which the pieces of a write are copied into one buffer, in bytes.
const JOINED_BYTES: usize = 16 * 1024;

/// A connection that is handed off to the reactor. Its response head has been written.
pub(in super::super) struct NewConnection {
    pub(in super::super) socket: std::net::TcpStream,
    /// The session of a connection over TLS.
    pub(in super::super) session: Option<Box<Session>>,
    pub(in super::super) handle: ConnectionHandle,
    pub(in super::super) body: StreamingBody,
    /// The bytes that are written before the body: those of a connection that another process has suspended, or records of TLS.
    pub(in super::super) unsent: Bytes,
    /// The bytes read after the request.
    pub(in super::super) excess_input: ExcessInput,
}

/// A connection on which the rest of a response body is written.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) handle: ConnectionHandle,
    body: StreamingBody,
    /// Boxed, because most connections have none.
    state: Option<Box<State>>,
    excess_input: ExcessInput,
}

/// The state of a connection that uses TLS or waits for its client.
#[derive(Default)]
struct State {
    /// None without TLS, and after the end of the session.
    session: Option<Box<Session>>,
    /// The bytes that the kernel did not take.
    pieces: Vec<Bytes>,
    /// The deadline for the client's next action, while the connection waits for it.
    deadline: Option<Deadline>,
}

/// A deadline for the client's next action.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) key: delay_queue::Key,
    /// Whether it is the deadline of the response's end, which progress does not extend.
    pub(super) is_final: bool,
}

/// Buffers that are reused for one connection after the other.
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

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// All available bytes were written.
    Idle,
    /// More bytes may be available; other connections come first.
    MoreToWrite,
    /// The kernel's send buffer is full. `progressed` is whether it has taken some bytes.
    WouldBlock { progressed: bool },
    /// The whole body was written.
    Finished,
    /// The connection is suspended.
    Suspended,
    /// The connection is lost or was cut.
    Failed,
}

impl Connection {
    pub(super) fn new(new_connection: NewConnection, reactor_handle: ReactorHandle) -> Self {
        let NewConnection { socket, session, handle, body, unsent, excess_input } = new_connection;
        handle.move_to_reactor(reactor_handle);
        let pieces = if unsent.is_empty() { Vec::new() } else { vec![unsent] };
        let state = (session.is_some() || !pieces.is_empty())
            .then(|| Box::new(State { session, pieces, deadline: None }));
        Self { socket: TcpStream::from_std(socket), handle, body, state, excess_input }
    }

    /// Writes the available bytes until the kernel's send buffer is full.
    pub(super) fn write(&mut self, scratch: &mut Scratch) -> WriteOutcome {
        let waker = self.handle.waker();
        self.try_write(&mut Context::from_waker(&waker), scratch).unwrap_or_else(|error| {
            debug!(%error, "stream failed");
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
        if self.handle.is_suspended() {
            return Ok(WriteOutcome::Suspended);
        }
        if let Some(state) = &mut self.state {
            pieces.extend(mem::take(&mut state.pieces));
        }
        let more = if !pieces.is_empty() {
            true
        } else if self.body.has_ended() {
            return Ok(WriteOutcome::Idle);
        } else {
            let more = self.body.take(context, pieces)?;
            self.encrypt(pieces, joined)?;
            more
        };
        let written_before = self.handle.written();
        Ok(match self.write_pieces(pieces, joined)? {
            Poll::Ready(()) if self.body.has_ended() => WriteOutcome::Finished,
            Poll::Ready(()) if more => WriteOutcome::MoreToWrite,
            Poll::Ready(()) => WriteOutcome::Idle,
            Poll::Pending => {
                self.state.get_or_insert_default().pieces.append(pieces);
                WriteOutcome::WouldBlock { progressed: self.handle.written() != written_before }
            }
        })
    }

    /// Writes `pieces`. Returns `Pending` when the kernel's send buffer is full; then `pieces` has the rest.
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

    /// Writes once. Small pieces are joined, because one slice costs the kernel less than several.
    fn write_once(&mut self, pieces: &[Bytes], joined: &mut Vec<u8>) -> io::Result<usize> {
        if pieces.iter().map(Bytes::len).sum::<usize>() <= JOINED_BYTES {
            join(pieces, joined);
            return self.socket.write(joined);
        }
        let mut slices = [IoSlice::new(&[]); MAX_WRITE_SLICES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        self.socket.write_vectored(&slices[..pieces.len().min(MAX_WRITE_SLICES)])
    }

    /// Reads and discards input. Returns true when the client has closed or has sent too many bytes.
    pub(super) fn discard_input(&mut self, scratch: &mut Scratch) -> bool {
        loop {
            match self.socket.read(&mut scratch.input) {
                Ok(0) => return true,
                Ok(bytes) => {
                    let Ok(excess) = self.decrypt(&mut scratch.input[..bytes]) else { return true };
                    self.excess_input.add(excess);
                    if self.excess_input.exceeds_limit() {
                        debug!("too many bytes after the request");
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

    /// Returns the deadline for the client's next action, if it has one.
    pub(super) fn deadline(&self) -> Option<&Deadline> {
        self.state.as_ref()?.deadline.as_ref()
    }

    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.state.get_or_insert_default().deadline = Some(deadline);
    }

    /// Removes the deadline, and the state that is no longer needed.
    pub(super) fn take_deadline(&mut self) -> Option<Deadline> {
        let state = self.state.as_mut()?;
        let deadline = state.deadline.take();
        if state.session.is_none() && state.pieces.is_empty() {
            self.state = None;
        }
        deadline
    }

    /// Returns whether the connection waits for its client to take bytes or to close.
    pub(super) fn waits_for_client(&self) -> bool {
        self.body.has_ended() || self.state.as_ref().is_some_and(|state| !state.pieces.is_empty())
    }

    /// Returns whether the response is about to end or has ended.
    pub(super) fn is_ending(&self) -> bool {
        self.body.has_ended() || self.handle.is_finishing()
    }

    /// Makes the connection close with a reset when it is dropped, which discards unread bytes. Not if it is suspended, because the option
    /// would also belong to the process that continues it.
    pub(super) fn reset(&self) {
        if !self.handle.is_suspended() {
            reset_on_close(&self.socket);
        }
    }

    /// Starts a lingering close: shuts down the sending side. The connection stays until the client has closed too, because closing a
    /// socket with unread input would send a reset, which discards bytes that the client has not read yet.
    pub(super) fn linger(&mut self) -> io::Result<()> {
        // Dropping the body ends the stream now.
        self.body = StreamingBody::finished();
        // The remaining input is not decrypted, because nothing answers it.
        if let Some(state) = &mut self.state {
            state.session = None;
        }
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Copies `pieces` into one buffer.
fn join(pieces: &[Bytes], joined: &mut Vec<u8>) {
    joined.clear();
    for piece in pieces {
        joined.extend_from_slice(piece);
    }
}
