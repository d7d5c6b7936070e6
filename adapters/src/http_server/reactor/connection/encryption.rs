//! TLS of a connection.

use std::io;

use bytes::Bytes;

use super::{
    super::super::tls::{Received, Session},
    Connection, join,
};

impl Connection {
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.state.as_mut()?.session.as_deref_mut()
    }

    /// Replaces `pieces` of a connection over TLS by their records. The end of the body ends the session too.
    pub(super) fn encrypt(&mut self, pieces: &mut Vec<Bytes>, joined: &mut Vec<u8>) -> io::Result<()> {
        let has_ended = self.body.has_ended();
        let Some(session) = self.session() else { return Ok(()) };
        join(pieces, joined);
        pieces.clear();
        let mut records = Vec::new();
        session.encrypt(joined, &mut records)?;
        if has_ended {
            session.close(&mut records);
        }
        pieces.push(records.into());
        Ok(())
    }

    /// Returns the number of bytes in the input of the application. Over TLS the input is decrypted, because the client may end the session
    /// or ask for other keys.
    ///
    /// # Errors
    ///
    /// The client has closed the session or has violated the protocol.
    pub(super) fn decrypt(&mut self, input: &mut [u8]) -> io::Result<usize> {
        let Some(session) = self.session() else { return Ok(input.len()) };
        let (mut received, mut records) = (Received::default(), Vec::new());
        session.receive(input, &mut received, &mut records)?;
        if received.is_closed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !records.is_empty() {
            self.state.get_or_insert_default().pieces.push(records.into());
            self.handle.wake();
        }
        Ok(received.plaintext.len())
    }
}
