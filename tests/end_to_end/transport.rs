//! What lies between a client and the service: TCP alone, or TLS on it.
//!
//! `TRANSPORT=tls` in the environment has every service show a certificate and every client of it speak TLS. What a test is about
//! that holds in the clear alone has `in_the_clear` in its name, and `./test` leaves it out of the other run.

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

/// A certificate and its key, in one file: two runs that make it at once agree on it.
const IDENTITY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/identity.pem");
/// Whom the certificate is for, wherever it listens, …
const NAME: &str = "localhost";
/// … and for those who know it by its address alone.
const ADDRESS: &str = "127.0.0.1";

/// What every line is encrypted with; `None` in the clear.
static ENCRYPTION: LazyLock<Option<Encryption>> = LazyLock::new(|| match env::var("TRANSPORT").as_deref() {
    Err(VarError::NotPresent) => None,
    Ok("tls") => Some(Encryption::of(IDENTITY.as_ref()).expect("a certificate")),
    other => panic!("TRANSPORT is {other:?}: it must be tls or unset"),
});

/// One for each protocol. Clients come back with what they have agreed upon before, as browsers do.
struct Encryption {
    http_1_1: TlsConnector,
    http_2: TlsConnector,
}

impl Encryption {
    /// With the certificate in `file`, which is made once and stays.
    fn of(file: &Path) -> io::Result<Self> {
        if !file.exists() {
            let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
                rcgen::generate_simple_self_signed([NAME, ADDRESS].map(ToOwned::to_owned))
                    .map_err(io::Error::other)?;
            let mut made = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
            write!(made, "{}{}", cert.pem(), signing_key.serialize_pem())?;
            // Unless another run was quicker.
            made.persist_noclobber(file).ok();
        }
        let mut known = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other)?;
        known.add(certificate).map_err(io::Error::other)?;
        Ok(Self { http_1_1: connector(&known, b"http/1.1"), http_2: connector(&known, b"h2") })
    }
}

/// Where a server listens, and whether it wants to be spoken to in the clear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    encrypts: bool,
}

/// What goes over it is the same, whether it is encrypted or not.
pub(crate) type Connection = Either<TcpStream, TlsStream<TcpStream>>;

/// A service that was told to speak as [`settings`] say.
pub(crate) fn service_at(address: SocketAddr) -> Server {
    Server { address, encrypts: ENCRYPTION.is_some() }
}

/// What a service has to be told.
pub(crate) fn settings() -> &'static [(&'static str, &'static str)] {
    match *ENCRYPTION {
        None => &[],
        Some(_) => &[
            ("OCIS_HTTP_TLS_ENABLED", "true"),
            ("OCIS_HTTP_TLS_CERTIFICATE", IDENTITY),
            ("OCIS_HTTP_TLS_KEY", IDENTITY),
        ],
    }
}

/// What is beneath, whatever lies on it.
pub(crate) fn socket(connection: &Connection) -> &TcpStream {
    match connection {
        Either::Left(socket) => socket,
        Either::Right(encrypted) => encrypted.get_ref().0,
    }
}

impl Server {
    pub(crate) fn scheme(self) -> &'static str {
        if self.encrypts { "https" } else { "http" }
    }

    pub(crate) fn encrypts(self) -> bool {
        self.encrypts
    }

    /// A line for HTTP/1.1.
    pub(crate) async fn connect(self) -> io::Result<Connection> {
        self.connect_on(TcpStream::connect(self.address).await?, Version::HTTP_11).await
    }

    /// As [`Server::connect`], by a socket that was told something before.
    pub(crate) async fn connect_by(self, socket: TcpSocket) -> io::Result<Connection> {
        self.connect_on(socket.connect(self.address).await?, Version::HTTP_11).await
    }

    /// A line for HTTP/2.
    pub(crate) async fn connect_for_http_2(self) -> io::Result<Connection> {
        self.connect_on(TcpStream::connect(self.address).await?, Version::HTTP_2).await
    }

    /// A line for this version of HTTP, on a socket that is connected already.
    pub(crate) async fn connect_on<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        socket: S,
        version: Version,
    ) -> io::Result<Either<S, TlsStream<S>>> {
        let Some(encryption) = ENCRYPTION.as_ref().filter(|_| self.encrypts) else {
            return Ok(Either::Left(socket));
        };
        let connector = if version == Version::HTTP_2 { &encryption.http_2 } else { &encryption.http_1_1 };
        let name = ServerName::try_from(NAME).expect("a name");
        Ok(Either::Right(connector.connect(name, socket).await?))
    }
}

/// Speaks `protocol` with those who are known.
pub(crate) fn connector(known: &RootCertStore, protocol: &[u8]) -> TlsConnector {
    let mut config = ClientConfig::builder().with_root_certificates(known.clone()).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config).into()
}

/// Whoever is no service of ours is spoken to in the clear.
impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self { address, encrypts: false }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}
