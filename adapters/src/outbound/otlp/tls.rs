//! TLS for a collector: the trusted certificate authorities and this service's client certificate.

use std::{
    fs::{self, File},
    io::{self, Read as _},
};

use hyper_rustls::ConfigBuilderExt as _;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::variables::Variables;

/// Certificate authorities that are trusted instead of those of the system.
const AUTHORITIES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
/// The client certificate of this service.
const CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
/// The private key of the client certificate.
const KEY: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
/// Maximum size of a file, in bytes. The authorities of a system have about a tenth of it.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The TLS configuration, for HTTP and for gRPC.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) http: ClientConfig,
    pub(super) grpc: ClientTlsConfig,
}

/// A PEM file that a variable names.
struct PemFile {
    variable: &'static str,
    path: String,
    bytes: Vec<u8>,
}

/// A file without which TLS cannot be configured.
struct UnusableFile {
    variable: &'static str,
    /// The path of the file. None if the variable is not set.
    path: Option<String>,
    problem: String,
}

impl Tls {
    /// Reads the files that `variables` name. Returns none if one cannot be used. Without it, an untrusted collector might get the spans,
    /// or the collector would reject the connection.
    pub(super) fn read(variables: &mut Variables) -> Option<Self> {
        match Self::try_read(variables) {
            Ok(tls) => Some(tls),
            Err(UnusableFile { variable, path, problem }) => {
                variables.reject(variable, path.as_deref(), problem, "traces are disabled");
                None
            }
        }
    }

    fn try_read(variables: &mut Variables) -> Result<Self, UnusableFile> {
        let builder = ClientConfig::builder();
        let (builder, grpc) = if let Some(authorities) = file(variables, &AUTHORITIES)? {
            let builder = builder.with_root_certificates(authorities.roots()?);
            (builder, ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities.bytes)))
        } else {
            let builder = builder.with_native_roots().map_err(|error| UnusableFile {
                variable: AUTHORITIES[1],
                path: None,
                problem: format!("is not set, and the system has no certificate authorities: {error}"),
            })?;
            (builder, ClientTlsConfig::new().with_native_roots())
        };
        match (file(variables, &CERTIFICATE)?, file(variables, &KEY)?) {
            (None, None) => Ok(Self { http: builder.with_no_client_auth(), grpc }),
            (Some(certificate), Some(key)) => {
                let http = builder.with_client_auth_cert(certificate.certificates()?, key.key()?).map_err(
                    |error| key.unusable(format!("is not the key of {}: {error}", certificate.path)),
                )?;
                Ok(Self { http, grpc: grpc.identity(Identity::from_pem(certificate.bytes, key.bytes)) })
            }
            (Some(certificate), None) => {
                Err(certificate.unusable(format!("has no effect without {}", KEY[1])))
            }
            (None, Some(key)) => Err(key.unusable(format!("has no effect without {}", CERTIFICATE[1]))),
        }
    }
}

/// Reads the file of the first of `names` that is set.
fn file(variables: &mut Variables, names: &[&'static str]) -> Result<Option<PemFile>, UnusableFile> {
    let Some((variable, path)) = variables.first(names) else { return Ok(None) };
    let mut file = PemFile { variable, path, bytes: Vec::new() };
    let unreadable = |file: &PemFile, error: io::Error| file.unusable(format!("cannot be read: {error}"));
    // Opening a pipe blocks until it has a writer.
    if !fs::metadata(&file.path).map_err(|error| unreadable(&file, error))?.is_file() {
        return Err(file.unusable("is not a regular file"));
    }
    File::open(&file.path)
        .and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut file.bytes))
        .map_err(|error| unreadable(&file, error))?;
    if file.bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(file.unusable(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(Some(file))
}

impl PemFile {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, UnusableFile> {
        let certificates = CertificateDer::pem_slice_iter(&self.bytes).collect::<Result<Vec<_>, _>>();
        match certificates.map_err(|error| self.unusable(format!("is not PEM: {error}")))? {
            certificates if certificates.is_empty() => Err(self.unusable("contains no certificate in PEM")),
            certificates => Ok(certificates),
        }
    }

    fn roots(&self) -> Result<RootCertStore, UnusableFile> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| self.unusable(format!("contains an unusable certificate: {error}")))?;
        }
        Ok(roots)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, UnusableFile> {
        // The error could quote the key.
        PrivateKeyDer::from_pem_slice(&self.bytes)
            .map_err(|_| self.unusable("contains no private key in PEM"))
    }

    fn unusable(&self, problem: impl Into<String>) -> UnusableFile {
        UnusableFile { variable: self.variable, path: Some(self.path.clone()), problem: problem.into() }
    }
}
