//! TLS without verification of the server's certificate: the server is loaded, not trusted.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::OpenError;

/// The ALPN name of HTTP/2 (RFC 9113, 3.1).
const HTTP_2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1 (RFC 7301, 6).
const HTTP_1_1: &[u8] = b"http/1.1";

pub(crate) struct Tls {
    connector: TlsConnector,
    http2: bool,
    /// The number of connections that have resumed a session.
    resumed: AtomicU64,
}

impl Tls {
    /// Offers HTTP/2 or HTTP/1.1, and accepts any certificate. Each connection is like that of a new browser.
    pub(crate) fn new(http2: bool) -> Self {
        Self::with(http2, Resumption::disabled())
    }

    /// As [`Tls::new`], but a connection resumes the session of an earlier one.
    pub(crate) fn resuming(http2: bool) -> Self {
        Self::with(http2, Resumption::default())
    }

    fn with(http2: bool, resumption: Resumption) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![if http2 { HTTP_2 } else { HTTP_1_1 }.to_vec()];
        config.resumption = resumption;
        Self { connector: TlsConnector::from(Arc::new(config)), http2, resumed: AtomicU64::new(0) }
    }

    pub(crate) fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    pub(crate) async fn handshake(
        &self,
        server: SocketAddr,
        connection: TcpStream,
    ) -> Result<TlsStream<TcpStream>, OpenError> {
        let connection =
            self.connector.connect(server.ip().into(), connection).await.map_err(OpenError::Tls)?;
        if connection.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
        // A server that selects no protocol uses HTTP/1.1.
        if self.http2 && connection.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(OpenError::NoHttp2);
        }
        Ok(connection)
    }
}

/// Accepts any certificate, but verifies the signature of the handshake.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
