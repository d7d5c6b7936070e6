//! TLS sessions of the probe.

use std::{io, sync::Arc};

use hyper::Version;
use hyper_rustls::ConfigBuilderExt as _;
use ports::outbound::ProbeFault;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::any_certificate;

/// Establishes a TLS session, and offers HTTP/2 and HTTP/1.1 as browsers do. Returns the chosen version, and the protocol for an
/// administrator.
pub(super) async fn connect(
    socket: TcpStream,
    host: &str,
    verify: bool,
) -> Result<(TlsStream<TcpStream>, Version, String), ProbeFault> {
    let fault = |error: io::Error| ProbeFault::Tls(error.to_string());
    let mut config = if verify { verified().map_err(fault)? } else { any_certificate::config() };
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
