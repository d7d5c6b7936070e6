//! Sends spans, and says when that begins to fail and when it works again.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::{HttpClient, HttpError, hyper::HyperClient};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol as OtlpProtocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::{Resource, error::OTelSdkResult, trace};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tracing::{error, info};

use super::{
    Protocol,
    settings::{Destination, GRACE, Settings},
};

/// Sends spans to a collector. A failure is logged once, until it works again.
#[derive(Debug)]
pub(super) struct ReportingExporter {
    inner: SpanExporter,
    destination: Destination,
    /// For each batch, with all that is repeated.
    timeout: Duration,
    is_failing: AtomicBool,
    /// Why the latest request over HTTP has failed; the exporter itself keeps that back.
    http_failure: HttpFailure,
}

type HttpFailure = Arc<Mutex<Option<String>>>;

impl ReportingExporter {
    pub(super) fn build(settings: &Settings) -> Result<Self, ExporterBuildError> {
        let Settings { destination, timeout, tls, .. } = settings;
        // Ours comes first: the exporter's leaves out the time in which it connects.
        let later = *timeout + GRACE;
        let http_failure = HttpFailure::default();
        let inner = match destination.protocol {
            Protocol::Grpc => {
                let builder = SpanExporter::builder().with_tonic();
                let builder = match tls {
                    Some(tls) => builder.with_tls_config(tls.grpc.clone()),
                    None => builder,
                };
                builder.with_endpoint(&destination.url).with_timeout(later).build()?
            }
            Protocol::Http => {
                let tls = tls.as_ref().map(|tls| tls.http.clone());
                SpanExporter::builder()
                    .with_http()
                    .with_protocol(OtlpProtocol::HttpBinary)
                    .with_http_client(Client::new(tls, later, http_failure.clone()))
                    .with_endpoint(&destination.url)
                    .with_timeout(later)
                    .build()?
            }
        };
        let (destination, is_failing) = (destination.clone(), AtomicBool::new(false));
        Ok(Self { inner, destination, timeout: *timeout, is_failing, http_failure })
    }

    fn succeeded(&self) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            info!(setting = self.destination.setting, "traces are sent again");
        }
    }

    fn failed(&self, reason: &str) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let Destination { protocol, setting, .. } = &self.destination;
            let (protocol, collector) = (protocol.name(), self.destination.shown());
            error!(
                setting,
                collector, protocol, reason, "traces cannot be sent, trying again with later ones"
            );
        }
    }
}

impl trace::SpanExporter for ReportingExporter {
    /// Always succeeds towards the SDK, which would log each failure again.
    async fn export(&self, batch: Vec<trace::SpanData>) -> OTelSdkResult {
        match timeout(self.timeout, self.inner.export(batch)).await {
            Ok(Ok(())) => self.succeeded(),
            Ok(Err(error)) => match self.http_failure.lock().take() {
                Some(cause) => self.failed(&format!("{error}: {cause}")),
                None => self.failed(&error.to_string()),
            },
            Err(_) => self.failed(&format!("no success within {:?}", self.timeout)),
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The client for HTTP, in the clear and over TLS.
#[derive(Debug)]
struct Client {
    inner: HyperClient<HttpsConnector<HttpConnector>>,
    failure: HttpFailure,
}

impl Client {
    fn new(tls: Option<ClientConfig>, timeout: Duration, failure: HttpFailure) -> Self {
        // Without TLS in the address nobody is trusted.
        let tls = tls.unwrap_or_else(|| {
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        });
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self { inner: HyperClient::new(connector, timeout, None), failure }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.inner.send_bytes(request).await;
        *self.failure.lock() = answer.as_ref().err().map(|error| with_causes(&**error));
        answer
    }
}

fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
