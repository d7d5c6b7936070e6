//! The settings of traces, from the platform's settings and the variables of OpenTelemetry.

use std::{ops::RangeInclusive, time::Duration};

use hyper::Uri;
use opentelemetry_sdk::trace::{BatchConfig, BatchConfigBuilder};

use super::{Collector, Protocol, checks, tls::Tls, variables::Variables};

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const OTLP: &str = "otlp";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const INSECURE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Maximum of timeouts and intervals, in milliseconds.
const MAX_MILLIS: u64 = 600_000;
/// Time by which the timeouts of the SDK are longer than the timeout of the exporter, whose error is more specific.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The validated settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) destination: Destination,
    /// Timeout for each batch, retries included.
    pub(super) timeout: Duration,
    /// The TLS configuration. None for a collector without TLS.
    pub(super) tls: Option<Tls>,
    pub(super) batches: BatchConfig,
    /// The configured name of the service. None for its default name.
    pub(super) service_name: Option<String>,
}

/// The destination of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) protocol: Protocol,
    /// The URL. It has the full path for HTTP.
    pub(super) url: String,
    /// The setting or variable that contains the URL.
    pub(super) setting: &'static str,
}

/// The reason why traces are disabled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disabled {
    /// A variable disables them.
    By(&'static str),
    /// A required setting cannot be used. It was recorded in [`Variables`].
    Unusable,
}

/// Whether `OTEL_TRACES_EXPORTER` switches traces on. OpenCloud has no other switch.
pub(super) fn is_exporter_set(variables: &mut Variables) -> bool {
    variables.text(EXPORTER).as_deref() == Some(OTLP)
}

impl Destination {
    fn is_encrypted(&self) -> bool {
        self.url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("https"))
    }

    /// Returns the URL without its secrets.
    pub(super) fn redacted_url(&self) -> String {
        redact(&self.url)
    }
}

impl Settings {
    pub(super) fn read(collector: Collector, variables: &mut Variables) -> Result<Self, Disabled> {
        if variables.is_true(DISABLED) {
            return Err(Disabled::By(DISABLED));
        }
        match variables.text(EXPORTER).as_deref() {
            None | Some(OTLP) => {}
            Some("none") => return Err(Disabled::By(EXPORTER)),
            other => variables.reject(EXPORTER, other, "is neither otlp nor none", "otlp is used"),
        }
        checks::check(variables);
        let (batches, timeout) = batches(variables);
        let service_name = variables.text(SERVICE_NAME);
        let destination = destination(collector, variables).ok_or(Disabled::Unusable)?;
        let tls = if destination.is_encrypted() {
            Some(Tls::read(variables).ok_or(Disabled::Unusable)?)
        } else {
            None
        };
        Ok(Self { destination, timeout, tls, batches, service_name })
    }
}

/// Returns the destination. The platform's settings take precedence over the variables for traces, and these over the variables for all
/// signals.
fn destination(collector: Collector, variables: &mut Variables) -> Option<Destination> {
    let (protocol, setting, value) = match collector {
        Collector::At { protocol: Protocol::Grpc, url } => (Protocol::Grpc, "tracing.endpoint", url),
        Collector::At { protocol: Protocol::Http, url } => (Protocol::Http, "tracing.collector", url),
        Collector::Standard { protocol } => {
            let protocol = protocol.unwrap_or_else(|| protocol_of(variables));
            let named = variables.first(&[TRACES_ENDPOINT, ENDPOINT]);
            let (setting, value) =
                named.unwrap_or_else(|| (ENDPOINT, protocol.default_endpoint().to_owned()));
            (protocol, setting, value)
        }
    };
    let url = match (protocol, setting) {
        (Protocol::Grpc, _) => with_scheme(&value, variables),
        (Protocol::Http, ENDPOINT) => traces_url(&value),
        (Protocol::Http, _) => value.clone(),
    };
    if let Err(problem) = check_url(&url) {
        let example = if setting == TRACES_ENDPOINT && protocol == Protocol::Http {
            traces_url(protocol.default_endpoint())
        } else {
            protocol.default_endpoint().to_owned()
        };
        let problem = format!("{problem}; use for example {example}");
        variables.reject(setting, Some(&redact(&value)), problem, "traces are disabled");
        return None;
    }
    Some(Destination { protocol, url, setting })
}

/// Returns the protocol of the variables. The default is gRPC, as in the platform's services.
fn protocol_of(variables: &mut Variables) -> Protocol {
    for name in PROTOCOLS {
        let Some(value) = variables.text(name) else { continue };
        match value.to_ascii_lowercase().as_str() {
            "grpc" => return Protocol::Grpc,
            "http/protobuf" => return Protocol::Http,
            "http/json" => {
                variables.reject(
                    name,
                    Some(&value),
                    "is not supported (grpc, http/protobuf)",
                    "http/protobuf is used",
                );
                return Protocol::Http;
            }
            _ => {
                let problem = "is not a protocol (grpc, http/protobuf)";
                variables.reject(name, Some(&value), problem, "it is ignored; the default is grpc");
            }
        }
    }
    Protocol::Grpc
}

impl Protocol {
    /// Returns the default URL of a collector, which is on this machine.
    fn default_endpoint(self) -> &'static str {
        match self {
            Self::Grpc => "http://localhost:4317",
            Self::Http => "http://localhost:4318",
        }
    }
}

/// Returns the URL for traces, given the one for all signals. The query stays at the end.
fn traces_url(base: &str) -> String {
    let (base, query) = base.split_at(base.find('?').unwrap_or(base.len()));
    format!("{}/v1/traces{query}", base.trim_end_matches('/'))
}

/// Returns a gRPC address as a URL. Without a scheme, TLS is used unless a variable disables it (OpenTelemetry, "OTLP Exporter
/// Configuration").
fn with_scheme(address: &str, variables: &mut Variables) -> String {
    if address.contains("://") {
        return address.to_owned();
    }
    let insecure = variables.first(&INSECURE).is_some_and(|(name, _)| variables.is_true(name));
    format!("{}://{address}", if insecure { "http" } else { "https" })
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is not a URL with http:// or https://");
    };
    let after_host = authority.as_str().strip_prefix(authority.host());
    match (authority.host(), after_host, authority.port_u16()) {
        ("", ..) => Err("has no host"),
        // The exporter would not send the user.
        (_, None, _) => Err("contains a user; set credentials as a header, in OTEL_EXPORTER_OTLP_HEADERS"),
        (_, Some(""), _) | (_, _, Some(_)) => Ok(()),
        _ => Err("has an invalid port"),
    }
}

/// Removes the parts of a URL that may be secret: user, password and query.
fn redact(url: &str) -> String {
    let (before_query, query) = url.split_once('?').unwrap_or((url, ""));
    match before_query.rsplit_once('@') {
        // The question mark may be a part of a password.
        _ if query.contains('@') => "***".to_owned(),
        Some((_, rest)) => format!("***@{rest}"),
        None => before_query.to_owned(),
    }
}

/// Returns the configuration of batches and the timeout of a batch. The ranges are checked here, because the SDK fails with some values.
fn batches(variables: &mut Variables) -> (BatchConfig, Duration) {
    const MILLIS: RangeInclusive<u64> = 1..=MAX_MILLIS;
    const SPANS: RangeInclusive<u64> = 1..=1_000_000;
    let mut millis = |name: &str, default| variables.number(name, &MILLIS, default);
    let general = millis("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000);
    let export = millis("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", general);
    let timeout = Duration::from_millis(export.min(millis("OTEL_BSP_EXPORT_TIMEOUT", 30_000)));
    let delay = Duration::from_millis(millis("OTEL_BSP_SCHEDULE_DELAY", 5000));
    let mut count = |name: &str, range: &RangeInclusive<u64>, default| {
        usize::try_from(variables.number(name, range, default)).unwrap_or(usize::MAX)
    };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(count("OTEL_BSP_MAX_QUEUE_SIZE", &SPANS, 2048))
        .with_max_export_batch_size(count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &SPANS, 512))
        .with_max_concurrent_exports(count("OTEL_BSP_MAX_CONCURRENT_EXPORTS", &(1..=64), 1))
        .with_scheduled_delay(delay)
        .with_max_export_timeout(timeout + GRACE)
        .build();
    (config, timeout)
}

#[cfg(test)]
mod tests;
