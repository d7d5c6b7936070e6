//! A TLS session without a socket and without buffers.

use std::{io, mem, sync::Arc};

use tokio_rustls::rustls::{
    Error, ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic},
};

/// Maximum number of bytes kept until the client has sent the rest of a handshake message. The largest one that rustls accepts has as many.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Maximum number of bytes kept until the client has sent the rest of a record, after the handshake: more than the largest record has
/// (RFC 8446, 5.2; in TLS 1.2 it has up to 2 KiB of overhead).
const MAX_RECORD_BYTES: usize = 19 * 1024;

/// The server's end of a TLS session. Its caller reads and writes the socket, and has the buffers.
///
/// rustls' buffered connection keeps at least 4 KiB for input as long as it lives. This one keeps input only while a record is incomplete.
pub(in crate::http_server) struct Session {
    connection: UnbufferedServerConnection,
    /// The start of a record or of a handshake message, whose rest the client has not sent yet.
    partial: Vec<u8>,
    /// Whether the client has violated the protocol.
    has_failed: bool,
}

/// The input from the client.
#[derive(Default)]
pub(in crate::http_server) struct Received {
    /// The decrypted bytes.
    pub(in crate::http_server) plaintext: Vec<u8>,
    /// Whether the client sends no more.
    pub(in crate::http_server) is_closed: bool,
}

impl Session {
    /// Creates a session whose handshake has not started.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used.
    pub(super) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        let connection = UnbufferedServerConnection::new(config).map_err(invalid)?;
        Ok(Self { connection, partial: Vec::new(), has_failed: false })
    }

    /// Returns whether the handshake is still in progress.
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns the protocol that the handshake has negotiated.
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Processes the next bytes from the client's socket, which it decrypts in place. Adds the plaintext to `received`, and to `records`
    /// what has to be written in response.
    ///
    /// # Errors
    ///
    /// The client violates the protocol. `records` then has the alert for it.
    pub(in crate::http_server) fn receive(
        &mut self,
        bytes: &mut [u8],
        received: &mut Received,
        records: &mut Vec<u8>,
    ) -> io::Result<()> {
        if self.has_failed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let rest = if self.partial.is_empty() {
            self.rest(bytes, received, records)
        } else {
            let mut partial = mem::take(&mut self.partial);
            partial.extend_from_slice(bytes);
            self.rest(&mut partial, received, records)
        };
        self.has_failed |= rest.is_err();
        self.partial = rest?;
        Ok(())
    }

    /// Processes `bytes`, and returns those of a message that is not complete.
    fn rest(
        &mut self,
        bytes: &mut [u8],
        received: &mut Received,
        records: &mut Vec<u8>,
    ) -> io::Result<Vec<u8>> {
        let used = self.process(bytes, received, records)?;
        let rest = &bytes[used..];
        let limit = if self.is_handshaking() { MAX_MESSAGE_BYTES } else { MAX_RECORD_BYTES };
        match rest.len() {
            // Bytes after the end are ignored (RFC 8446, 6.1).
            _ if received.is_closed => Ok(Vec::new()),
            length if length > limit => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a TLS message is too large"))
            }
            _ => Ok(rest.to_vec()),
        }
    }

    /// Encrypts `plaintext`, and adds its records to `records`.
    ///
    /// # Errors
    ///
    /// The session has failed or is closed.
    pub(in crate::http_server) fn encrypt(
        &mut self,
        plaintext: &[u8],
        records: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut traffic = self.traffic()?;
        append(records, |room| Ok(traffic.encrypt(plaintext, room)?))
    }

    /// Adds to `records` the alert that ends the session (RFC 8446, 6.1). Nothing can be encrypted afterwards. A session that has failed or
    /// is closed adds nothing.
    pub(in crate::http_server) fn close(&mut self, records: &mut Vec<u8>) {
        if let Ok(mut traffic) = self.traffic() {
            // It fails only if the session has failed.
            append(records, |room| Ok(traffic.queue_close_notify(room)?)).ok();
        }
    }

    /// Processes `bytes` as far as their messages are complete, and returns the number of bytes used.
    fn process(
        &mut self,
        bytes: &mut [u8],
        received: &mut Received,
        records: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut bytes[used..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        received.plaintext.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(records, |room| Ok(data.encode(room)?))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => received.is_closed = true,
                // The session waits for the client or for the application. There is no early data, because none is allowed.
                Ok(_) => return Ok(used + discard),
                Err(error) => {
                    self.add_alert(records);
                    return Err(invalid(error));
                }
            }
            used += discard;
        }
    }

    /// Adds to `records` the alert of a session that has failed. No more messages may be processed: rustls has references into the bytes of
    /// those that follow the invalid one.
    fn add_alert(&mut self, records: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.connection.process_tls_records(&mut []).state
            else {
                return;
            };
            append(records, |room| Ok(data.encode(room)?)).ok();
        }
    }

    /// Returns the writing end of the session.
    fn traffic(&mut self) -> io::Result<WriteTraffic<'_, ServerConnectionData>> {
        if self.has_failed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // rustls has references into the bytes of an incomplete message, so it gets them again.
        match self.connection.process_tls_records(&mut self.partial).state.map_err(invalid)? {
            ConnectionState::WriteTraffic(traffic) => Ok(traffic),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Adds to `records` what `write` writes. If it has too little room, it is called again with as much as it needs.
fn append(
    records: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, NotWritten>,
) -> io::Result<()> {
    let start = records.len();
    loop {
        match write(&mut records[start..]) {
            Ok(written) => {
                records.truncate(start + written);
                return Ok(());
            }
            Err(NotWritten::NeedsRoom(bytes)) => records.resize(start + bytes, 0),
            Err(NotWritten::Failed) => return Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Why a message was not written.
enum NotWritten {
    /// It needs this number of bytes.
    NeedsRoom(usize),
    /// The session has failed or is closed.
    Failed,
}

impl From<EncodeError> for NotWritten {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(error) => Self::NeedsRoom(error.required_size),
            EncodeError::AlreadyEncoded => Self::Failed,
        }
    }
}

impl From<EncryptError> for NotWritten {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(error) => Self::NeedsRoom(error.required_size),
            EncryptError::EncryptExhausted => Self::Failed,
        }
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
