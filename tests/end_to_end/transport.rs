//! The transport between a client and the service: HTTP/1.1 over plain TCP or TLS, or HTTP/2.
//!
//! With `TRANSPORT=tls` in the environment every service has a certificate and every client of it uses TLS. A test that
//! needs plain TCP has `in_the_clear` in its name; `./test` skips it in the run with TLS.
//!
//! With `TRANSPORT=http2` the clients that open streams use HTTP/2 over plain TCP (prior knowledge). A test that needs
//! HTTP/1.1 has `http_1_1` in its name, and `./test` skips it. Clients that send bytes of their own stay with HTTP/1.1.

use std::{
    env::{self, VarError},
    fmt,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
};

use hyper::Version;
use rcgen::{CertifiedKey, KeyPair};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use tokio_util::either::Either;

/// A certificate and its key in one file, so that two concurrent test runs use a matching pair.
const IDENTITY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/identity.pem");
/// The host name in the certificate, on any address.
const NAME: &str = "localhost";
/// The IP address in the certificate, for clients that verify the address.
const ADDRESS: &str = "127.0.0.1";

/// The transport of every connection to a service.
static TRANSPORT: LazyLock<Transport> = LazyLock::new(|| match env::var("TRANSPORT").as_deref() {
    Err(VarError::NotPresent) => Transport::Http1,
    Ok("tls") => Transport::Tls(Encryption::of(IDENTITY.as_ref()).expect("a certificate")),
    Ok("http2") => Transport::Http2,
    other => panic!("TRANSPORT is {other:?}: it must be tls, http2 or unset"),
});

enum Transport {
    /// HTTP/1.1 over plain TCP.
    Http1,
    /// HTTP/1.1 over TLS, except for clients that ask for HTTP/2.
    Tls(Encryption),
    /// HTTP/2 over plain TCP.
    Http2,
}

/// One connector for each protocol. Each resumes its TLS sessions, as browsers do.
struct Encryption {
    http_1_1: TlsConnector,
    http_2: TlsConnector,
}

impl Encryption {
    /// Uses the certificate in `file`, which is generated once and kept.
    fn of(file: &Path) -> io::Result<Self> {
        if !file.exists() {
            let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
                rcgen::generate_simple_self_signed([NAME, ADDRESS].map(ToOwned::to_owned))
                    .map_err(io::Error::other)?;
            let mut made = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
            write!(made, "{}{}", cert.pem(), signing_key.serialize_pem())?;
            // Fails when another run was faster, whose file is used then.
            made.persist_noclobber(file).ok();
        }
        let mut known = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other)?;
        known.add(certificate).map_err(io::Error::other)?;
        Ok(Self { http_1_1: connector(&known, b"http/1.1"), http_2: connector(&known, b"h2") })
    }
}

/// The address of a server, whether it uses TLS, and the version of HTTP for requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    uses_tls: bool,
    version: Version,
}

/// A connection with or without TLS.
pub(crate) type Connection = Either<TcpStream, TlsStream<TcpStream>>;

/// Returns the address of a service that was started with [`settings`].
pub(crate) fn service_at(address: SocketAddr) -> Server {
    let (uses_tls, version) = match *TRANSPORT {
        Transport::Http1 => (false, Version::HTTP_11),
        Transport::Tls(_) => (true, Version::HTTP_11),
        Transport::Http2 => (false, Version::HTTP_2),
    };
    Server { address, uses_tls, version }
}

/// The settings that make the service use this transport.
pub(crate) fn settings() -> &'static [(&'static str, &'static str)] {
    match *TRANSPORT {
        Transport::Http1 | Transport::Http2 => &[],
        Transport::Tls(_) => &[
            ("OCIS_HTTP_TLS_ENABLED", "true"),
            ("OCIS_HTTP_TLS_CERTIFICATE", IDENTITY),
            ("OCIS_HTTP_TLS_KEY", IDENTITY),
        ],
    }
}

/// Returns the TCP socket beneath a connection.
pub(crate) fn socket(connection: &Connection) -> &TcpStream {
    match connection {
        Either::Left(socket) => socket,
        Either::Right(encrypted) => encrypted.get_ref().0,
    }
}

impl Server {
    pub(crate) fn scheme(self) -> &'static str {
        if self.uses_tls { "https" } else { "http" }
    }

    pub(crate) fn uses_tls(self) -> bool {
        self.uses_tls
    }

    /// Returns the version of HTTP for requests.
    pub(crate) fn version(self) -> Version {
        self.version
    }

    /// Opens a connection for HTTP/1.1, or for any version over plain TCP.
    pub(crate) async fn connect(self) -> io::Result<Connection> {
        self.connect_on(TcpStream::connect(self.address).await?, Version::HTTP_11).await
    }

    /// Opens a connection for HTTP/1.1 from a socket whose options are already set.
    pub(crate) async fn connect_by(self, socket: TcpSocket) -> io::Result<Connection> {
        self.connect_on(socket.connect(self.address).await?, Version::HTTP_11).await
    }

    /// Opens a connection for HTTP/2.
    pub(crate) async fn connect_for_http_2(self) -> io::Result<Connection> {
        self.connect_on(TcpStream::connect(self.address).await?, Version::HTTP_2).await
    }

    /// Sets up the transport for this version of HTTP on a connected socket.
    pub(crate) async fn connect_on<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        socket: S,
        version: Version,
    ) -> io::Result<Either<S, TlsStream<S>>> {
        let encryption = match &*TRANSPORT {
            Transport::Tls(encryption) if self.uses_tls => encryption,
            _ => return Ok(Either::Left(socket)),
        };
        let connector = if version == Version::HTTP_2 { &encryption.http_2 } else { &encryption.http_1_1 };
        let name = ServerName::try_from(NAME).expect("a name");
        Ok(Either::Right(connector.connect(name, socket).await?))
    }
}

/// Returns a connector that trusts `known` and offers `protocol` (ALPN).
pub(crate) fn connector(known: &RootCertStore, protocol: &[u8]) -> TlsConnector {
    let mut config = ClientConfig::builder().with_root_certificates(known.clone()).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config).into()
}

/// A server other than the service is reached with HTTP/1.1 over plain TCP.
impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self { address, uses_tls: false, version: Version::HTTP_11 }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}
