//! Whom a collector is verified with over TLS, and who we are to it.

use std::{fs::File, io::Read as _};

use hyper_rustls::ConfigBuilderExt as _;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::variables::Variables;

/// The authorities that count instead of the system's.
const AUTHORITIES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
/// Our own certificate, where the collector asks for one …
const CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
/// … and its key.
const KEY: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
/// A file is not larger than this, in bytes: that of a system with all its authorities is a quarter of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How a collector is met over TLS, once for HTTP and once for gRPC.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) http: ClientConfig,
    pub(super) grpc: ClientTlsConfig,
}

/// A file that a variable names.
struct Named {
    variable: &'static str,
    path: String,
    pem: Vec<u8>,
}

/// Why a collector cannot be met over TLS.
struct Problem {
    variable: &'static str,
    /// None if the variable is not set.
    path: Option<String>,
    what: String,
}

impl Tls {
    /// Reads the files that `variables` name. None if one cannot be used: without it the collector could be anybody, or would refuse us.
    pub(super) fn read(variables: &mut Variables) -> Option<Self> {
        match Self::try_read(variables) {
            Ok(tls) => Some(tls),
            Err(Problem { variable, path, what }) => {
                variables.reject(variable, path.as_deref(), what, "no traces are sent");
                None
            }
        }
    }

    fn try_read(variables: &mut Variables) -> Result<Self, Problem> {
        let builder = ClientConfig::builder();
        let (builder, grpc) = if let Some(authorities) = file(variables, &AUTHORITIES)? {
            let builder = builder.with_root_certificates(authorities.roots()?);
            (builder, ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities.pem)))
        } else {
            let builder = builder.with_native_roots().map_err(|error| Problem {
                variable: AUTHORITIES[1],
                path: None,
                what: format!("is not set, and the system has no authorities: {error}"),
            })?;
            (builder, ClientTlsConfig::new().with_native_roots())
        };
        match (file(variables, &CERTIFICATE)?, file(variables, &KEY)?) {
            (None, None) => Ok(Self { http: builder.with_no_client_auth(), grpc }),
            (Some(certificate), Some(key)) => {
                let http = builder.with_client_auth_cert(certificate.certificates()?, key.key()?).map_err(
                    |error| key.problem(format!("is not the key of {}: {error}", certificate.path)),
                )?;
                Ok(Self { http, grpc: grpc.identity(Identity::from_pem(certificate.pem, key.pem)) })
            }
            (Some(alone), None) => Err(alone.problem(format!("is useless without {}", KEY[1]))),
            (None, Some(alone)) => Err(alone.problem(format!("is useless without {}", CERTIFICATE[1]))),
        }
    }
}

/// The file that the first of `names` names, if one is set.
fn file(variables: &mut Variables, names: &[&'static str]) -> Result<Option<Named>, Problem> {
    let Some((variable, path)) = variables.first(names) else { return Ok(None) };
    let mut file = Named { variable, path, pem: Vec::new() };
    File::open(&file.path)
        .and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut file.pem))
        .map_err(|error| file.problem(format!("cannot be read: {error}")))?;
    if file.pem.len() as u64 > MAX_FILE_BYTES {
        return Err(file.problem(format!("is a file of more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(Some(file))
}

impl Named {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let certificates = CertificateDer::pem_slice_iter(&self.pem).collect::<Result<Vec<_>, _>>();
        match certificates.map_err(|error| self.problem(format!("is no PEM: {error}")))? {
            none if none.is_empty() => Err(self.problem("has no certificate; PEM is expected")),
            certificates => Ok(certificates),
        }
    }

    fn roots(&self) -> Result<RootCertStore, Problem> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| self.problem(format!("has a certificate that cannot be used: {error}")))?;
        }
        Ok(roots)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Problem> {
        // What is wrong with it could quote it.
        PrivateKeyDer::from_pem_slice(&self.pem)
            .map_err(|_| self.problem("has no private key; PEM is expected"))
    }

    fn problem(&self, what: impl Into<String>) -> Problem {
        Problem { variable: self.variable, path: Some(self.path.clone()), what: what.into() }
    }
}
