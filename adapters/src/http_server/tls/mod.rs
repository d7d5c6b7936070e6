//! TLS, as the server's end of a connection.
//!
//! `certificate` is what the server shows, `acceptor` the rest of the configuration. `session` encrypts and decrypts; it has neither a
//! socket nor buffers. During the handshake, for requests and for HTTP/2, `stream` has them. An event stream over HTTP/1.1 leaves its
//! buffers with the connection's task: the reactor has buffers for all.

mod acceptor;
mod certificate;
mod session;
mod stream;
#[cfg(test)]
pub(super) mod test_client;

pub(super) use self::{
    acceptor::HTTP_2,
    session::{Received, Session},
    stream::TlsStream,
};
pub use self::{
    acceptor::TlsAcceptor,
    certificate::{CertificateFiles, Renewal, Renewed, UnusableCertificate, acceptor, temporary},
};
