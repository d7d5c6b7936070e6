//! The certificate of the server, which is reloaded when its files change.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::RwLock;
use rustls_pemfile::{certs, private_key};
use tokio_rustls::rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{error, info};

use super::TlsAcceptor;

/// Interval at which the files are checked for changes.
const RENEWAL_CHECK: Duration = Duration::from_secs(5);

/// Maximum size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The files of a certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// Serves with the certificate in `files`, and with the next one when they are renewed. What is returned beside the acceptor has the files
/// read at once.
///
/// # Errors
///
/// A file cannot be read, or does not hold what it has to.
pub fn acceptor(files: CertificateFiles) -> Result<(TlsAcceptor, Renewal), UnusableCertificate> {
    let current = watch(files.clone())?;
    let acceptor =
        TlsAcceptor::new(Arc::<Current>::clone(&current)).map_err(UnusableCertificate::TicketKey)?;
    Ok((acceptor, Renewal { files, current }))
}

/// Reloads a certificate in use at once, without waiting for the next check of its files.
#[derive(Clone)]
pub struct Renewal {
    files: CertificateFiles,
    current: Arc<Current>,
}

/// A certificate that can be used.
pub struct Renewed(CertifiedKey);

impl Renewal {
    /// Reads the files, and returns what is in them if it is another certificate than the one in use. Nothing changes yet. It blocks.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or does not hold what it has to.
    pub fn read(&self) -> Result<Option<Renewed>, UnusableCertificate> {
        let contents = self.files.read()?;
        let certificate = self.files.load(&contents)?;
        let is_in_use = self.current.0.read().cert == certificate.cert;
        Ok((!is_in_use).then_some(Renewed(certificate)))
    }

    /// Shows this certificate to the next client. Those that are connected notice nothing.
    pub fn set(&self, Renewed(certificate): Renewed) {
        *self.current.0.write() = Arc::new(certificate);
    }
}

/// Creates an acceptor with a new self-signed certificate for `host`.
///
/// # Errors
///
/// No certificate can be created for this host.
pub fn temporary(host: &str) -> Result<TlsAcceptor, UnusableCertificate> {
    let generated = rcgen::generate_simple_self_signed([host.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(generated.signing_key.serialize_der());
    let certified = certified(vec![generated.cert.der().clone()], key.into())?;
    let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
    TlsAcceptor::new(current).map_err(UnusableCertificate::TicketKey)
}

/// The current certificate, which the next handshake uses.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// Loads the certificate in `files`, and reloads it when they change, until it is dropped.
fn watch(files: CertificateFiles) -> Result<Arc<Current>, UnusableCertificate> {
    let contents = files.read()?;
    let current = Arc::new(Current(RwLock::new(Arc::new(files.load(&contents)?))));
    tokio::spawn(renew(files, Ok(contents), Arc::downgrade(&current)));
    Ok(current)
}

/// Reloads the certificate when the contents of the files differ from those `seen` last. Modification times are not enough: a file can be
/// replaced by one of the same age (Kubernetes swaps a symbolic link, `cp -p` keeps the time), and can become readable without any change
/// of its own.
async fn renew(files: CertificateFiles, mut seen: Result<Contents, String>, current: Weak<Current>) {
    let mut check = tokio::time::interval(RENEWAL_CHECK);
    loop {
        check.tick().await;
        let Some(current) = current.upgrade() else { return };
        let reading = files.clone();
        // The files may be on a network file system, so they are read on a blocking thread. An error means that the runtime shuts down.
        let Ok(read) = tokio::task::spawn_blocking(move || reading.read()).await else { return };
        let now = read.as_ref().map(Contents::clone).map_err(UnusableCertificate::with_cause);
        if now == seen {
            continue;
        }
        seen = now;
        match read.and_then(|contents| files.load(&contents)) {
            Ok(renewed) => {
                *current.0.write() = Arc::new(renewed);
                info!(file = %files.certificate.display(), "certificate loaded");
            }
            Err(error) => {
                let error = error.with_cause();
                error!(error, "certificate not loaded, the present one is kept");
            }
        }
    }
}

/// The contents of the files.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl CertificateFiles {
    fn read(&self) -> Result<Contents, UnusableCertificate> {
        let read = |path: &PathBuf| read_file(path).map_err(UnusableCertificate::unreadable(path));
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    fn load(&self, contents: &Contents) -> Result<CertifiedKey, UnusableCertificate> {
        let Self { certificate, key } = self;
        let (chain, _) =
            read_pem(&contents.certificate).map_err(UnusableCertificate::unreadable(certificate))?;
        if chain.is_empty() {
            return Err(UnusableCertificate::NoCertificate { path: certificate.clone() });
        }
        let (_, private) = read_pem(&contents.key).map_err(UnusableCertificate::unreadable(key))?;
        certified(chain, private.ok_or_else(|| UnusableCertificate::NoKey { path: key.clone() })?)
    }
}

/// Reads a regular file of up to [`MAX_FILE_BYTES`]. A pipe or a device may have no end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Reads the certificates and the first private key in `pem`.
///
/// This is the only use of rustls-pemfile. The crate is archived (RUSTSEC-2025-0134), but this service is required to use it, and it reads
/// only the administrator's own files. deny.toml has the same exception.
fn read_pem(pem: &[u8]) -> io::Result<(Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>)> {
    let certificates = certs(&mut &*pem).collect::<Result<_, _>>()?;
    Ok((certificates, private_key(&mut &*pem)?))
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, UnusableCertificate> {
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}

/// The reason why a certificate is unusable.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificate {
    /// A file cannot be read, or is not PEM.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The certificate file has no certificate.
    #[error("there is no certificate in {}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file has no private key.
    #[error("there is no private key in {}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key does not match the certificate, or has an unsupported type.
    #[error("the certificate and the key cannot be used together")]
    Mismatch(#[from] tokio_rustls::rustls::Error),
    /// There is no random key for session tickets.
    #[error("no random key for session tickets")]
    TicketKey(#[source] tokio_rustls::rustls::Error),
    /// No self-signed certificate can be created.
    #[error("no self-signed certificate can be created")]
    Temporary(#[from] rcgen::Error),
}

impl UnusableCertificate {
    fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Unreadable { path: path.to_owned(), source }
    }

    /// Returns the error and its cause in one line.
    #[must_use]
    pub fn with_cause(&self) -> String {
        self.source().map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}"))
    }
}

#[cfg(test)]
mod tests;
