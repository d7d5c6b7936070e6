//! Verification of a NATS server's certificate.

use std::{fs::File, io::Read as _, path::PathBuf, sync::Arc};

use async_nats::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

/// Maximum size of a file with certificate authorities, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Returns a configuration that trusts the certificate authorities in the file `roots` (PEM). The file is read for each handshake, because it may be
/// replaced.
pub(super) fn with_roots(roots: PathBuf) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { roots, provider }))
        .with_no_client_auth();
    // A resumed session is not verified again: it would outlive its authority and its validity period.
    config.resumption = Resumption::disabled();
    config
}

/// A verifier of certificates. The signature of the handshake is always verified.
#[derive(Debug)]
struct Verifier {
    /// The file with the certificate authorities.
    roots: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Verifies a certificate as rustls does, with one exception. A certificate that is itself among `roots` may be a certificate authority
    /// (`CA:TRUE`), as `openssl req -x509` creates them. rustls rejects it as a server certificate; Go, and so the platform, accepts it.
    fn verify_with_roots(
        &self,
        roots: &[CertificateDer<'static>],
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone())?;
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider));
        let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        match verifier.verify_server_cert(certificate, intermediates, name, &[], now) {
            // rustls has checked the validity period before; a test verifies that. The signature proves nothing, because the certificate is
            // self-signed. The extended key usage is not checked, because an authority can issue itself a certificate for any usage.
            Err(error) if is_authority(&error) && roots.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }
}

/// Returns whether a certificate was rejected because it is a certificate authority.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(cause)) = error else { return false };
    cause.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Reads the certificates in a PEM file.
fn read(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable =
        |error: &dyn ToString| Error::General(format!("{}: {}", file.display(), error.to_string()));
    let mut bytes = Vec::new();
    // Reading another kind of file might block or never end.
    if !file.metadata().map_err(|error| unusable(&error))?.is_file() {
        return Err(unusable(&"not a regular file"));
    }
    let opened = File::open(file).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    opened.map_err(|error| unusable(&error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unusable(&format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(unusable(&"no certificate found")),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(unusable(&"invalid PEM")),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_with_roots(&read(&self.roots)?, certificate, intermediates, name, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

    use super::*;

    const NAME: &str = "nats.example";
    /// 2025-06-15.
    const NOW: u64 = 1_749_945_600;

    /// The parameters of `openssl req -x509 -subj /CN=nats`, valid in 2025.
    fn params(is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::new([NAME.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "nats");
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 1);
        params.is_ca = is_ca;
        params
    }

    fn authority() -> IsCa {
        IsCa::Ca(BasicConstraints::Unconstrained)
    }

    fn issuer() -> CertifiedIssuer<'static, KeyPair> {
        let key = KeyPair::generate().expect("a key");
        CertifiedIssuer::self_signed(params(authority()), key).expect("a certificate")
    }

    fn verify(roots: &[&CertificateDer<'static>], certificate: &CertificateDer<'_>) -> Result<(), String> {
        verify_at(NOW, NAME, roots, certificate)
    }

    fn verify_at(
        seconds: u64,
        name: &str,
        roots: &[&CertificateDer<'static>],
        certificate: &CertificateDer<'_>,
    ) -> Result<(), String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier { roots: PathBuf::new(), provider };
        let roots: Vec<_> = roots.iter().map(|root| (*root).clone()).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from(name).expect("a name");
        let outcome = verifier.verify_with_roots(&roots, certificate, &[], &name, now);
        outcome.map(drop).map_err(|error| error.to_string())
    }

    fn assert_rejected(verified: Result<(), String>, reason: &str) {
        let error = verified.expect_err(reason);
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn root_is_accepted_as_server_certificate() {
        let (root, other) = (issuer(), issuer());
        assert_eq!(verify(&[root.der()], root.der()), Ok(()));
        assert_eq!(verify(&[other.der(), root.der()], root.der()), Ok(()));
    }

    #[test]
    fn authority_resembling_a_root_is_rejected() {
        let (root, other) = (issuer(), issuer());
        assert_rejected(verify(&[root.der()], other.der()), "CaUsedAsEndEntity");
        let reissued = params(authority()).self_signed(root.key()).expect("a certificate");
        assert_ne!(reissued.der(), root.der(), "the serial numbers differ");
        assert_rejected(verify(&[root.der()], reissued.der()), "CaUsedAsEndEntity");
    }

    #[test]
    fn authority_issued_by_a_root_is_rejected() {
        let root = issuer();
        let key = KeyPair::generate().expect("a key");
        let issued = params(authority()).signed_by(&key, &root).expect("a certificate");
        assert_rejected(verify(&[root.der()], issued.der()), "CaUsedAsEndEntity");
    }

    #[test]
    fn expired_or_misnamed_root_is_rejected() {
        let root = issuer();
        let year = 366 * 24 * 60 * 60;
        assert_rejected(verify_at(NOW + year, NAME, &[root.der()], root.der()), "certificate expired");
        assert_rejected(verify_at(NOW - year, NAME, &[root.der()], root.der()), "certificate not valid yet");
        let reason = "certificate not valid for name";
        assert_rejected(verify_at(NOW, "other.example", &[root.der()], root.der()), reason);
        assert_rejected(verify_at(NOW, "127.0.0.1", &[root.der()], root.der()), reason);
    }

    #[test]
    fn only_certificates_issued_by_a_root_are_accepted() {
        let (root, other) = (issuer(), issuer());
        let key = KeyPair::generate().expect("a key");
        let issued = params(IsCa::NoCa).signed_by(&key, &root).expect("a certificate");
        assert_eq!(verify(&[root.der()], issued.der()), Ok(()));
        assert_rejected(verify(&[other.der()], issued.der()), "BadSignature");
        let expired = NOW + 366 * 24 * 60 * 60;
        assert_rejected(verify_at(expired, NAME, &[root.der()], issued.der()), "certificate expired");
        let self_signed = params(IsCa::NoCa).self_signed(&key).expect("a certificate");
        assert_eq!(verify(&[self_signed.der()], self_signed.der()), Ok(()));
        assert_rejected(verify(&[root.der()], self_signed.der()), "BadSignature");
    }

    #[test]
    fn error_names_an_unusable_file() {
        let check = |file: PathBuf, reason: &str| {
            let read = read(&file).expect_err("unusable").to_string();
            assert!(read.contains(&format!("{}: {reason}", file.display())), "{read}");
        };
        check("/dev/zero".into(), "not a regular file");
        check("/nowhere/ca.pem".into(), "No such file or directory");
        let file = tempfile::NamedTempFile::new().expect("a file");
        check(file.path().to_owned(), "no certificate found");
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\n").expect("written");
        check(file.path().to_owned(), "invalid PEM");
    }
}
