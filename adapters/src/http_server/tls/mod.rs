//! TLS.

mod certificate;

pub use tokio_rustls::TlsAcceptor;

pub(super) use self::certificate::HTTP_2;
pub use self::certificate::{CertificateFiles, Renewal, Renewed, UnusableCertificate, acceptor, temporary};
