//! Which HTTP a client speaks that was not asked: over TLS the handshake says so, in the clear its first bytes do.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

/// How a client begins that knows before it asks that we speak HTTP/2 (RFC 9113, 3.3). No method of HTTP/1.1 is called so.
const PREFACE: &[u8] = b"PRI ";

/// Whether a client begins with HTTP/2. Its bytes are looked at and stay where they are, so that one with HTTP/1.1 costs nothing
/// beyond the look.
pub(super) async fn is_http_2(stream: &TcpStream) -> io::Result<bool> {
    let look = || {
        let mut begun = [0; PREFACE.len()];
        let (_, seen) = recv(stream, &mut begun, RecvFlags::PEEK)?;
        let begun = &begun[..seen];
        // The first bytes may come one by one; there is news when there is one more.
        let undecided = !begun.is_empty() && begun != PREFACE && PREFACE.starts_with(begun);
        if undecided { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(begun == PREFACE) }
    };
    stream.async_io(Interest::READABLE, look).await
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    /// What a client seems to speak that sends these parts, one after the other, and then nothing more.
    async fn speaks_http_2(parts: &[&str]) -> bool {
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
        };
        tokio::join!(is_http_2(&server), send).0.expect("readable")
    }

    #[tokio::test]
    async fn the_first_bytes_tell() {
        assert!(speaks_http_2(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await);
        assert!(speaks_http_2(&["P", "R", "I", " "]).await);
        for parts in [&["GET / HTTP/1.1\r\n\r\n"][..], &["P", "OST / HTTP/1.1"], &["PRO"], &["PRIM"], &["G"]]
        {
            assert!(!speaks_http_2(parts).await, "{parts:?}");
        }
    }
}
