//! The exporter of spans. It logs when exports begin to fail and when they succeed again.

use std::{
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

use crate::error_text::with_causes;
use tracing::{error, info};

use super::{
    Protocol,
    settings::{Destination, GRACE, Settings},
};

/// An exporter of spans to a collector. Only the first of consecutive failures is logged.
#[derive(Debug)]
pub(super) struct ReportingExporter {
    inner: SpanExporter,
    destination: Destination,
    /// Timeout for each batch, retries included.
    timeout: Duration,
    is_failing: AtomicBool,
    /// The error of the last HTTP request. The errors of the exporter do not contain it.
    http_failure: HttpFailure,
}

type HttpFailure = Arc<Mutex<Option<String>>>;

impl ReportingExporter {
    pub(super) fn build(settings: &Settings) -> Result<Self, ExporterBuildError> {
        let Settings { destination, timeout, tls, .. } = settings;
        // `timeout` expires first, because the exporter's own timeout does not include the time to connect.
        let exporter_timeout = *timeout + GRACE;
        let http_failure = HttpFailure::default();
        let inner = match destination.protocol {
            Protocol::Grpc => {
                let builder = SpanExporter::builder().with_tonic();
                let builder = match tls {
                    Some(tls) => builder.with_tls_config(tls.grpc.clone()),
                    None => builder,
                };
                builder.with_endpoint(&destination.url).with_timeout(exporter_timeout).build()?
            }
            Protocol::Http => {
                let tls = tls.as_ref().map(|tls| tls.http.clone());
                SpanExporter::builder()
                    .with_http()
                    .with_protocol(OtlpProtocol::HttpBinary)
                    .with_http_client(Client::new(tls, exporter_timeout, http_failure.clone()))
                    .with_endpoint(&destination.url)
                    .with_timeout(exporter_timeout)
                    .build()?
            }
        };
        let (destination, is_failing) = (destination.clone(), AtomicBool::new(false));
        Ok(Self { inner, destination, timeout: *timeout, is_failing, http_failure })
    }

    fn report_success(&self) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            info!(setting = self.destination.setting, "traces are sent again");
        }
    }

    fn report_failure(&self, reason: &str) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let Destination { protocol, setting, .. } = &self.destination;
            let (protocol, collector) = (protocol.name(), self.destination.redacted_url());
            error!(
                setting,
                collector, protocol, reason, "traces cannot be sent, trying again with later ones"
            );
        }
    }
}

impl trace::SpanExporter for ReportingExporter {
    /// Exports a batch. Always returns success, because the SDK would log each failure again.
    async fn export(&self, batch: Vec<trace::SpanData>) -> OTelSdkResult {
        match timeout(self.timeout, self.inner.export(batch)).await {
            Ok(Ok(())) => self.report_success(),
            Ok(Err(error)) => match self.http_failure.lock().take() {
                Some(cause) => self.report_failure(&format!("{error}: {cause}")),
                None => self.report_failure(&error.to_string()),
            },
            Err(_) => self.report_failure(&format!("no success within {:?}", self.timeout)),
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// An HTTP client, with and without TLS.
#[derive(Debug)]
struct Client {
    inner: HyperClient<HttpsConnector<HttpConnector>>,
    failure: HttpFailure,
}

impl Client {
    fn new(tls: Option<ClientConfig>, timeout: Duration, failure: HttpFailure) -> Self {
        // Without `https` in the URL, no server is trusted.
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
        let response = self.inner.send_bytes(request).await;
        *self.failure.lock() = response.as_ref().err().map(|error| with_causes(&**error));
        response
    }
}
