//! Whom TLS takes for a NATS server.

use std::{fs::File, io::Read as _, path::PathBuf, sync::Arc};

use async_nats::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

/// Maximum size of a file of authorities, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A configuration that takes any certificate, for those who asked for just that.
pub(super) fn unverified() -> ClientConfig {
    config(Trust::Anybody)
}

/// A configuration that takes the certificates of the authorities in `file` (PEM), which is read for each handshake: it may be renewed.
pub(super) fn with_roots(file: PathBuf) -> ClientConfig {
    config(Trust::Roots(file))
}

fn config(trust: Trust) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, provider }))
        .with_no_client_auth()
}

/// Verifies certificates, and always that the owner has signed the handshake.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trust {
    Anybody,
    Roots(PathBuf),
}

impl Verifier {
    /// Verifies a certificate as rustls does, but for one that is itself among `roots` and says that it is an authority (`CA:TRUE`), as
    /// `openssl req -x509` makes them: rustls takes it for no server's, Go and the platform do.
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
            // Its time was checked before; a test holds rustls to that. Its signature is its own and says nothing. What it may be used for
            // (extended key usage) is not checked: an authority can make itself a certificate for every use.
            Err(error) if is_authority(&error) && roots.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }
}

/// Whether a certificate was refused because it says that it is an authority.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(cause)) = error else { return false };
    cause.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Reads the certificates in a file.
fn read(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable =
        |error: &dyn ToString| Error::General(format!("{}: {}", file.display(), error.to_string()));
    let mut bytes = Vec::new();
    // Only a regular file has an end. Here is nobody to wait for another.
    if !file.metadata().map_err(|error| unusable(&error))?.is_file() {
        return Err(unusable(&"is no regular file"));
    }
    let opened = File::open(file).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
    opened.map_err(|error| unusable(&error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(unusable(&"has no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(unusable(&"is no valid PEM")),
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
        match &self.trust {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Roots(file) => self.verify_with_roots(&read(file)?, certificate, intermediates, name, now),
        }
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

    /// What is asked for with `openssl req -x509 -subj /CN=nats`, valid in 2025.
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
        let verifier = Verifier { trust: Trust::Anybody, provider };
        let roots: Vec<_> = roots.iter().map(|root| (*root).clone()).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from(name).expect("a name");
        let outcome = verifier.verify_with_roots(&roots, certificate, &[], &name, now);
        outcome.map(drop).map_err(|error| error.to_string())
    }

    fn is_refused(verified: Result<(), String>, reason: &str) {
        let refused = verified.expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
    }

    #[test]
    fn authority_among_the_roots_may_be_the_server() {
        let (ours, other) = (issuer(), issuer());
        assert_eq!(verify(&[ours.der()], ours.der()), Ok(()));
        assert_eq!(verify(&[other.der(), ours.der()], ours.der()), Ok(()));
    }

    #[test]
    fn authority_of_the_same_name_and_even_the_same_key_is_refused() {
        let (ours, other) = (issuer(), issuer());
        is_refused(verify(&[ours.der()], other.der()), "CaUsedAsEndEntity");
        let again = params(authority()).self_signed(ours.key()).expect("a certificate");
        assert_ne!(again.der(), ours.der(), "its serial number is another");
        is_refused(verify(&[ours.der()], again.der()), "CaUsedAsEndEntity");
    }

    #[test]
    fn authority_that_was_issued_by_one_of_the_roots_is_refused() {
        let ours = issuer();
        let key = KeyPair::generate().expect("a key");
        let issued = params(authority()).signed_by(&key, &ours).expect("a certificate");
        is_refused(verify(&[ours.der()], issued.der()), "CaUsedAsEndEntity");
    }

    #[test]
    fn authority_is_refused_outside_its_time_and_for_another_name() {
        let ours = issuer();
        let year = 366 * 24 * 60 * 60;
        is_refused(verify_at(NOW + year, NAME, &[ours.der()], ours.der()), "certificate expired");
        is_refused(verify_at(NOW - year, NAME, &[ours.der()], ours.der()), "certificate not valid yet");
        let reason = "certificate not valid for name";
        is_refused(verify_at(NOW, "other.example", &[ours.der()], ours.der()), reason);
        is_refused(verify_at(NOW, "127.0.0.1", &[ours.der()], ours.der()), reason);
    }

    #[test]
    fn what_no_authority_has_issued_is_refused_and_what_one_has_is_not() {
        let (ours, other) = (issuer(), issuer());
        let key = KeyPair::generate().expect("a key");
        let issued = params(IsCa::NoCa).signed_by(&key, &ours).expect("a certificate");
        assert_eq!(verify(&[ours.der()], issued.der()), Ok(()));
        is_refused(verify(&[other.der()], issued.der()), "BadSignature");
        let expired = NOW + 366 * 24 * 60 * 60;
        is_refused(verify_at(expired, NAME, &[ours.der()], issued.der()), "certificate expired");
        let itself = params(IsCa::NoCa).self_signed(&key).expect("a certificate");
        assert_eq!(verify(&[itself.der()], itself.der()), Ok(()));
        is_refused(verify(&[ours.der()], itself.der()), "BadSignature");
    }

    #[test]
    fn file_without_a_certificate_or_an_end_is_named() {
        let check = |file: PathBuf, reason: &str| {
            let read = read(&file).expect_err("unusable").to_string();
            assert!(read.contains(&format!("{}: {reason}", file.display())), "{read}");
        };
        check("/dev/zero".into(), "is no regular file");
        check("/nowhere/ca.pem".into(), "No such file or directory");
        let file = tempfile::NamedTempFile::new().expect("a file");
        check(file.path().to_owned(), "has no certificate");
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\n").expect("written");
        check(file.path().to_owned(), "is no valid PEM");
    }
}
