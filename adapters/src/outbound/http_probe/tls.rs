//! TLS sessions of the probe.

use std::{io, sync::Arc};

use hyper::Version;
use hyper_rustls::ConfigBuilderExt as _;
use ports::outbound::ProbeFault;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// Establishes a TLS session, and offers HTTP/2 and HTTP/1.1 as browsers do. Returns the chosen version, and the protocol for an
/// administrator.
pub(super) async fn connect(
    socket: TcpStream,
    host: &str,
    verify: bool,
) -> Result<(TlsStream<TcpStream>, Version, String), ProbeFault> {
    let fault = |error: io::Error| ProbeFault::Tls(error.to_string());
    let mut config = if verify { verified().map_err(fault)? } else { unverified() };
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| ProbeFault::Tls(error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(fault)?;
    let session = stream.get_ref().1;
    let version = if session.alpn_protocol() == Some(b"h2") { Version::HTTP_2 } else { Version::HTTP_11 };
    let protocol = session.protocol_version().and_then(|version| version.as_str());
    let protocol = match protocol {
        Some("TLSv1_2") => "TLS 1.2",
        _ => "TLS 1.3",
    };
    let protocol =
        if verify { protocol.to_owned() } else { format!("{protocol} (certificate not verified)") };
    Ok((stream, version, protocol))
}

/// Trusts the system's certificate authorities.
fn verified() -> io::Result<ClientConfig> {
    Ok(ClientConfig::builder().with_native_roots()?.with_no_client_auth())
}

/// Accepts any certificate.
fn unverified() -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth()
}

/// A verifier that accepts any certificate. The signature of the handshake is verified nevertheless.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _revocation: &[u8],
        _now: UnixTime,
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
