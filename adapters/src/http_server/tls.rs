//! Certificates for those who serve, taken from files that may be renewed while they are in use.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::RwLock;
use rustls_pemfile::{certs, private_key};
pub use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{error, info};

/// The name of HTTP/2 in ALPN (RFC 9113, 3.3).
pub(super) const HTTP_2: &[u8] = b"h2";
/// The name of HTTP/1.1 in ALPN (RFC 7301, 6).
const HTTP_1_1: &[u8] = b"http/1.1";
/// How often the files are looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(5);

/// Where a certificate and its key stand, in PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate, and those of the authorities between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Serves with the certificate in `files`, and with the next one once they were renewed.
///
/// # Errors
///
/// A file cannot be read, or does not hold what it has to.
pub fn acceptor(files: CertificateFiles) -> Result<TlsAcceptor, UnusableCertificate> {
    let current = Arc::new(Current(RwLock::new(Arc::new(files.load()?))));
    tokio::spawn(renew(files, Arc::downgrade(&current)));
    Ok(with(current))
}

/// Serves with a certificate that is made now, for `host`, and signed by nobody else.
///
/// # Errors
///
/// None can be made for such a host.
pub fn temporary(host: &str) -> Result<TlsAcceptor, UnusableCertificate> {
    let made = rcgen::generate_simple_self_signed([host.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certified = certified(vec![made.cert.der().clone()], key.into())?;
    Ok(with(Arc::new(Current(RwLock::new(Arc::new(certified))))))
}

fn with(current: Arc<Current>) -> TlsAcceptor {
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(current);
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The certificate that is shown to the next client.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// Looks at the files for as long as somebody serves with them.
async fn renew(files: CertificateFiles, current: std::sync::Weak<Current>) {
    let mut seen = files.modified();
    let mut check = tokio::time::interval(RENEWAL_CHECK);
    loop {
        check.tick().await;
        let Some(current) = current.upgrade() else { return };
        let modified = files.modified();
        if std::mem::replace(&mut seen, modified) == modified {
            continue;
        }
        match files.load() {
            Ok(renewed) => {
                *current.0.write() = Arc::new(renewed);
                info!(file = %files.certificate.display(), "the certificate was renewed");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(%error, cause, "the certificate was not renewed, the present one is kept");
            }
        }
    }
}

impl CertificateFiles {
    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| path.metadata().and_then(|file| file.modified()).ok())
    }

    fn load(&self) -> Result<CertifiedKey, UnusableCertificate> {
        let read = |path: &Path| {
            read_pem(path).map_err(|source| UnusableCertificate::Unreadable { path: path.into(), source })
        };
        let (chain, _) = read(&self.certificate)?;
        if chain.is_empty() {
            return Err(UnusableCertificate::NoCertificate { path: self.certificate.clone() });
        }
        let (_, key) = read(&self.key)?;
        certified(chain, key.ok_or_else(|| UnusableCertificate::NoKey { path: self.key.clone() })?)
    }
}

/// Reads the certificates and the first private key of a PEM file.
///
/// This is the only use of rustls-pemfile. The crate is archived (RUSTSEC-2025-0134), but it is required by name for this service,
/// and it reads nothing here but the administrator's own files. deny.toml has the same exception.
fn read_pem(path: &Path) -> io::Result<(Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>)> {
    let pem = fs::read(path)?;
    let certificates = certs(&mut pem.as_slice()).collect::<Result<_, _>>()?;
    Ok((certificates, private_key(&mut pem.as_slice())?))
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, UnusableCertificate> {
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}

/// Why a certificate cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificate {
    /// A file cannot be read, or is no PEM.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no certificate in its file.
    #[error("there is no certificate in {}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in its file.
    #[error("there is no private key in {}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's, or is of a kind that cannot be used.
    #[error("the certificate and the key cannot be used together")]
    Mismatch(#[from] tokio_rustls::rustls::Error),
    /// No temporary certificate can be made.
    #[error("no temporary certificate can be made")]
    Temporary(#[from] rcgen::Error),
}
