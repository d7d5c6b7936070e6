//! A client of TLS for tests.

use std::{io::Read as _, sync::Arc};

use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::PrivatePkcs8KeyDer,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{Received, Session, TlsAcceptor};

/// The name in the certificate.
const NAME: &str = "a.example";

/// A server's acceptor and the configuration of its clients.
pub(in crate::http_server) struct Peers {
    pub(super) acceptor: TlsAcceptor,
    client: Arc<ClientConfig>,
}

impl Peers {
    pub(in crate::http_server) fn new() -> Self {
        Self::with_versions(ALL_VERSIONS)
    }

    /// Returns a server of all versions of TLS and a client of these ones.
    pub(in crate::http_server) fn with_versions(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let generated = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let (chain, key) = (vec![generated.cert.der().clone()], generated.signing_key.serialize_der());
        let mut known = RootCertStore::empty();
        known.add(chain[0].clone()).expect("an anchor");
        let key = PrivatePkcs8KeyDer::from(key).into();
        let certified =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).expect("a matching key");
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let client = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(known);
        Self {
            acceptor: TlsAcceptor::new(resolver).expect("random numbers"),
            client: Arc::new(client.with_no_client_auth()),
        }
    }

    /// Returns the same server with another client, which has no ticket yet.
    pub(in crate::http_server) fn with_another_client(&self) -> Self {
        let mut client = ClientConfig::clone(&self.client);
        client.resumption = Resumption::default();
        Self { acceptor: self.acceptor.clone(), client: Arc::new(client) }
    }

    /// Returns the two ends of a session whose handshake has not started.
    pub(in crate::http_server) fn pair(&self) -> (Session, ClientConnection) {
        let name = NAME.try_into().expect("a name");
        let client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        (self.acceptor.clone().session().expect("a session"), client)
    }

    /// Returns the two ends of a session after the handshake.
    pub(in crate::http_server) fn connected(&self) -> (Session, ClientConnection) {
        let (mut session, mut client) = self.pair();
        while session.is_handshaking() || client.is_handshaking() {
            let (received, records) = send(&mut client, &mut session).expect("a valid handshake");
            assert_eq!(received.plaintext, b"");
            deliver(&records, &mut client);
        }
        (session, client)
    }
}

/// Gives the session what the client sends. Returns what it has received, and its records.
pub(in crate::http_server) fn send(
    client: &mut ClientConnection,
    session: &mut Session,
) -> std::io::Result<(Received, Vec<u8>)> {
    let (mut received, mut records) = (Received::default(), Vec::new());
    session.receive(&mut written(client), &mut received, &mut records)?;
    Ok((received, records))
}

/// Returns what the client sends.
pub(in crate::http_server) fn written(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("written to memory");
    }
    bytes
}

/// Gives the client `records` of the server, and returns the plaintext.
pub(in crate::http_server) fn deliver(mut records: &[u8], client: &mut ClientConnection) -> Vec<u8> {
    let mut plaintext = Vec::new();
    while !records.is_empty() {
        client.read_tls(&mut records).expect("read from memory");
        client.process_new_packets().expect("valid records");
        // At the end of what has arrived there is an error.
        client.reader().read_to_end(&mut plaintext).ok();
    }
    plaintext
}
