//! Which HTTP a client speaks: over TLS the handshake says so, in the clear its first bytes do.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

/// The first bytes of a client that knows that we speak HTTP/2 (RFC 9113, 3.3). HTTP/1.1 has no method of this name.
const PREFACE: &[u8] = b"PRI ";

/// A protocol that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, or what is answered as such.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Returns the protocol that a client speaks whose first bytes are `seen`, or none while more bytes have to tell.
    #[must_use]
    pub fn detect(seen: &[u8]) -> Option<Self> {
        let compared = seen.len().min(PREFACE.len());
        if seen[..compared] != PREFACE[..compared] {
            Some(Self::Http1)
        } else if compared == PREFACE.len() {
            Some(Self::Http2)
        } else {
            None
        }
    }

    /// Looks at the first bytes that arrive and leaves them in the socket, so that HTTP/1.1 costs nothing beyond the look. A client that ends
    /// before its bytes tell counts as one with HTTP/1.1.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            let look = || {
                let mut first = [0; PREFACE.len()];
                let (_, seen) = recv(stream, &mut first, RecvFlags::PEEK)?;
                // "Not enough" clears the readiness, so that the next byte wakes this task.
                Self::detect(&first[..seen]).ok_or_else(|| io::ErrorKind::WouldBlock.into())
            };
            match stream.try_io(Interest::READABLE, look) {
                // The runtime never clears the readiness of a closed side: to wait for more would not yield, and not end.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                    return Ok(Self::Http1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                told => return told,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    /// What a client seems to speak that sends these parts, one after the other, and then closes its sending side if it `ends`.
    async fn spoken(parts: &[&str], ends: bool) -> Protocol {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, server) = (client.expect("connected"), accepted.expect("accepted").0);
        client.set_nodelay(true).expect("set");
        let send = async {
            for part in parts {
                client.write_all(part.as_bytes()).await.expect("sent");
                tokio::task::yield_now().await;
            }
            if ends {
                client.shutdown().await.expect("shut");
            }
        };
        tokio::join!(Protocol::of(&server), send).0.expect("readable")
    }

    #[tokio::test]
    async fn first_bytes_tell() {
        assert_eq!(spoken(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], false).await, Protocol::Http2);
        assert_eq!(spoken(&["P", "R", "I", " "], false).await, Protocol::Http2);
        for parts in [&["GET / HTTP/1.1\r\n\r\n"][..], &["P", "OST / HTTP/1.1"], &["PRO"], &["PRIM"], &["G"]]
        {
            assert_eq!(spoken(parts, false).await, Protocol::Http1, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn an_end_before_they_tell_is_noticed() {
        for parts in [&[][..], &["P"], &["PR"], &["P", "R", "I"]] {
            assert_eq!(spoken(parts, true).await, Protocol::Http1, "{parts:?}");
        }
    }
}
