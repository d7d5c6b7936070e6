//! Files with certificates and private keys (PEM, RFC 7468).

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{PemObject as _, SectionKind},
    },
    sign::CertifiedKey,
};

use super::{super::bounded_file, Format, FromTexts};

/// Maximum size of a file, in bytes. The root certificates of a system are about a tenth of it.
const MAX_BYTES: u64 = 4 << 20;
/// Markers of an encrypted key (PKCS #8, and the older format of OpenSSL).
const ENCRYPTED_KEY: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];
const CERTIFICATE: &str = "certificate (-----BEGIN CERTIFICATE-----)";
const PRIVATE_KEY: &str = "private key (-----BEGIN PRIVATE KEY-----)";

/// A file with at least one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile(PathBuf);

impl CertificateFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromTexts for CertificateFile {
    const IS_TEXT: bool = true;
    const FORMAT: Format = Format::Text;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let path = PathBuf::from(String::from_texts(texts)?);
        let Sections { certificates, has_key } = Sections::of(&read(&path)?)?;
        let mut roots = RootCertStore::empty();
        if certificates.is_empty() {
            return Err(format!("has no {CERTIFICATE}{}", if has_key { ", but a private key" } else { "" }));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|_| "has a certificate that cannot be read")?;
        }
        Ok(Self(path))
    }
}

/// A file with a private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKeyFile(PathBuf);

impl PrivateKeyFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl PrivateKeyFile {
    /// Returns whether this is the key of the first certificate in `certificate`.
    pub(in super::super) fn is_key_of(&self, certificate: &CertificateFile) -> bool {
        let read_all = || {
            let chain = Sections::of(&read(certificate.path()).ok()?).ok()?.certificates;
            let key = PrivateKeyDer::from_pem_slice(&read(self.path()).ok()?).ok()?;
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).ok()
        };
        read_all().is_some()
    }
}

impl FromTexts for PrivateKeyFile {
    const IS_TEXT: bool = true;
    const FORMAT: Format = Format::Text;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let path = PathBuf::from(String::from_texts(texts)?);
        let pem = read(&path)?;
        let text = String::from_utf8_lossy(&pem);
        if ENCRYPTED_KEY.iter().any(|marker| text.contains(marker)) {
            return Err("has an encrypted private key; a key without a passphrase is needed".into());
        }
        let Sections { certificates, has_key } = Sections::of(&pem)?;
        if !has_key {
            let instead = if certificates.is_empty() { "" } else { ", but a certificate" };
            return Err(format!("has no {PRIVATE_KEY}{instead}"));
        }
        Ok(Self(path))
    }
}

/// The content of a PEM file. No error quotes it, because it may be a key.
struct Sections {
    certificates: Vec<CertificateDer<'static>>,
    has_key: bool,
}

impl Sections {
    fn of(pem: &[u8]) -> Result<Self, String> {
        let mut sections = Self { certificates: Vec::new(), has_key: false };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            match section.map_err(|_| "is not valid PEM")? {
                (SectionKind::Certificate, der) => sections.certificates.push(der.into()),
                (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                    sections.has_key = true;
                }
                _ => {}
            }
        }
        Ok(sections)
    }
}

/// Returns the content of a file that may be PEM.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    // A pipe can be read only once. Its content would be gone when the certificate is loaded.
    if path.metadata().is_ok_and(|file| !file.is_file() && !file.is_dir()) {
        return Err("is not a regular file, which is needed because it is read more than once".into());
    }
    let bytes = bounded_file::read(path, MAX_BYTES)?;
    match bytes[..] {
        [] => Err("is an empty file".into()),
        [0xef, 0xbb, 0xbf, ..] => Err("begins with a byte order mark, which PEM does not have".into()),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Err("is in UTF-16, but PEM must be in UTF-8".into()),
        // The tag of a DER sequence.
        [0x30, ..] => Err("is in DER, not in PEM: `openssl x509 -inform der` converts a certificate, \
                           `openssl pkey -inform der` a key"
            .into()),
        _ => Ok(bytes),
    }
}
