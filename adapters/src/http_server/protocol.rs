//! Protocol detection on plaintext connections, from the first bytes of the client. Over TLS the handshake negotiates the protocol.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

/// The first bytes of an HTTP/2 client with prior knowledge (RFC 9113, 3.3 and 3.4). HTTP/1.1 has no such method.
const PREFACE: &[u8] = b"PRI ";

/// A protocol of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, or any other bytes, which are answered with an HTTP/1.1 error.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Returns the protocol of a client whose first bytes are `first_bytes`, or `None` while they are too few to decide.
    #[must_use]
    pub fn detect(first_bytes: &[u8]) -> Option<Self> {
        let compared = first_bytes.len().min(PREFACE.len());
        if first_bytes[..compared] != PREFACE[..compared] {
            Some(Self::Http1)
        } else if compared == PREFACE.len() {
            Some(Self::Http2)
        } else {
            None
        }
    }

    /// Peeks at the first bytes of a connection. They stay in the socket, so hyper needs no wrapper that replays them. A client that closes
    /// before its bytes decide counts as HTTP/1.1.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(super) async fn peek(stream: &TcpStream) -> io::Result<Self> {
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            let peek = || {
                let mut first = [0; PREFACE.len()];
                let (_, length) = recv(stream, &mut first, RecvFlags::PEEK)?;
                // `WouldBlock` clears the readiness, so that the next byte wakes this task.
                Self::detect(&first[..length]).ok_or_else(|| io::ErrorKind::WouldBlock.into())
            };
            match stream.try_io(Interest::READABLE, peek) {
                // tokio never clears the readiness of a closed read side, so another wait would spin forever.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                    return Ok(Self::Http1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                detected => return detected,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    /// Detects the protocol of a client that sends `parts` one after the other and then, if `closes`, closes its sending side.
    async fn detected(parts: &[&str], closes: bool) -> Protocol {
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
            if closes {
                client.shutdown().await.expect("shut");
            }
        };
        tokio::join!(Protocol::peek(&server), send).0.expect("readable")
    }

    #[tokio::test]
    async fn is_detected_from_the_first_bytes() {
        assert_eq!(detected(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], false).await, Protocol::Http2);
        assert_eq!(detected(&["P", "R", "I", " "], false).await, Protocol::Http2);
        for parts in [&["GET / HTTP/1.1\r\n\r\n"][..], &["P", "OST / HTTP/1.1"], &["PRO"], &["PRIM"], &["G"]]
        {
            assert_eq!(detected(parts, false).await, Protocol::Http1, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn is_http1_when_the_client_closes_early() {
        for parts in [&[][..], &["P"], &["PR"], &["P", "R", "I"]] {
            assert_eq!(detected(parts, true).await, Protocol::Http1, "{parts:?}");
        }
    }
}
