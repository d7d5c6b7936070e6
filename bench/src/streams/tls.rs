//! TLS towards a server that may be anybody: it is loaded, not trusted.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::OpenError;

/// The name of HTTP/2 (RFC 9113, 3.1).
const HTTP_2: &[u8] = b"h2";
/// The name of HTTP/1.1 (RFC 7301, 6).
const HTTP_1_1: &[u8] = b"http/1.1";

pub(crate) struct Tls {
    connector: TlsConnector,
    http2: bool,
}

impl Tls {
    /// For HTTP/2 or for HTTP/1.1, and for any certificate.
    pub(crate) fn new(http2: bool) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![if http2 { HTTP_2 } else { HTTP_1_1 }.to_vec()];
        // Each line is that of a browser which has not been there before.
        config.resumption = Resumption::disabled();
        Self { connector: TlsConnector::from(Arc::new(config)), http2 }
    }

    pub(crate) async fn agree(
        &self,
        server: SocketAddr,
        line: TcpStream,
    ) -> Result<TlsStream<TcpStream>, OpenError> {
        let line = self.connector.connect(server.ip().into(), line).await.map_err(OpenError::Tls)?;
        // A server that names no protocol speaks HTTP/1.1.
        if self.http2 && line.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err(OpenError::NoHttp2);
        }
        Ok(line)
    }
}

/// Takes any certificate, but not a handshake that its owner did not sign.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
