//! The configuration of TLS.

use std::{io, sync::Arc};

use tokio_rustls::rustls::{
    Error, ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    server::{NoServerSessionStorage, ResolvesServerCert},
};

use super::{super::socket::Socket, Session, TlsStream};

/// The name of HTTP/2 in ALPN (RFC 9113, 3.3).
pub(in crate::http_server) const HTTP_2: &[u8] = b"h2";
/// The name of HTTP/1.1 in ALPN (RFC 7301, 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// Accepts TLS connections. Clones share the keys of session tickets.
#[derive(Clone)]
pub struct TlsAcceptor(Arc<ServerConfig>);

impl TlsAcceptor {
    /// Creates an acceptor for the certificates of `resolver`.
    ///
    /// # Errors
    ///
    /// There is no random key for session tickets.
    pub(super) fn new(resolver: Arc<dyn ResolvesServerCert>) -> Result<Self, Error> {
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        // The state of a session is in its ticket, so that any number of clients can resume theirs. rustls' store has room for 256.
        config.ticketer = Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self(Arc::new(config)))
    }

    /// Creates a session whose handshake has not started.
    pub(super) fn session(self) -> io::Result<Session> {
        Session::new(self.0)
    }

    /// Performs the handshake on an accepted socket.
    ///
    /// # Errors
    ///
    /// The handshake fails, or the connection is lost.
    pub(in crate::http_server) async fn accept(self, socket: Socket) -> io::Result<TlsStream> {
        TlsStream::accept(socket, self.session()?).await
    }
}
