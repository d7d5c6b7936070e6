//! What the variables of OpenTelemetry and the platform's settings mean together.

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

/// The longest time for an attempt or between two batches, in milliseconds.
const MAX_MILLIS: u64 = 600_000;
/// By so much the deadlines of the SDK are later than ours, which says more.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How spans are sent, with nothing left to check.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) destination: Destination,
    /// For one batch, with all that is repeated.
    pub(super) timeout: Duration,
    /// None for a collector that is spoken to in the clear.
    pub(super) tls: Option<Tls>,
    pub(super) batches: BatchConfig,
    /// None for the service's own name.
    pub(super) service_name: Option<String>,
}

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) protocol: Protocol,
    /// With its path, if it is for HTTP.
    pub(super) url: String,
    /// The setting or variable that says so.
    pub(super) setting: &'static str,
}

/// Why no spans are sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Off {
    /// This variable says so.
    By(&'static str),
    /// Something cannot be used; it was noted.
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

    /// The URL, without what may be secret in it.
    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }
}

impl Settings {
    pub(super) fn read(collector: Collector, variables: &mut Variables) -> Result<Self, Off> {
        if variables.is_true(DISABLED) {
            return Err(Off::By(DISABLED));
        }
        match variables.text(EXPORTER).as_deref() {
            None | Some(OTLP) => {}
            Some("none") => return Err(Off::By(EXPORTER)),
            other => variables.reject(EXPORTER, other, "is neither otlp nor none", "otlp is used"),
        }
        checks::check(variables);
        let (batches, timeout) = batches(variables);
        let service_name = variables.text(SERVICE_NAME);
        let destination = destination(collector, variables).ok_or(Off::Unusable)?;
        let tls =
            if destination.is_encrypted() { Some(Tls::read(variables).ok_or(Off::Unusable)?) } else { None };
        Ok(Self { destination, timeout, tls, batches, service_name })
    }
}

/// The platform's settings decide, then the variables for traces, then those for every signal.
fn destination(collector: Collector, variables: &mut Variables) -> Option<Destination> {
    let (protocol, setting, value) = match collector {
        Collector::At { protocol: Protocol::Grpc, url } => (Protocol::Grpc, "tracing.endpoint", url),
        Collector::At { protocol: Protocol::Http, url } => (Protocol::Http, "tracing.collector", url),
        Collector::Standard { protocol } => {
            let protocol = protocol.unwrap_or_else(|| wanted_protocol(variables));
            let named = variables.first(&[TRACES_ENDPOINT, ENDPOINT]);
            let (setting, value) = named.unwrap_or_else(|| (ENDPOINT, protocol.local().to_owned()));
            (protocol, setting, value)
        }
    };
    let url = match (protocol, setting) {
        (Protocol::Grpc, _) => with_scheme(&value, variables),
        (Protocol::Http, ENDPOINT) => below(&value),
        (Protocol::Http, _) => value.clone(),
    };
    if let Err(problem) = check_url(&url) {
        let example = if setting == TRACES_ENDPOINT && protocol == Protocol::Http {
            below(protocol.local())
        } else {
            protocol.local().to_owned()
        };
        let problem = format!("{problem}; right would be: {example}");
        variables.reject(setting, Some(&shown(&value)), problem, "no traces are sent");
        return None;
    }
    Some(Destination { protocol, url, setting })
}

/// The protocol that the variables name. That of the platform's services, gRPC, is the default.
fn wanted_protocol(variables: &mut Variables) -> Protocol {
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
                let problem = "is no protocol (grpc, http/protobuf)";
                variables.reject(name, Some(&value), problem, "it counts as not set; the default is grpc");
            }
        }
    }
    Protocol::Grpc
}

impl Protocol {
    /// Where a collector on this machine listens.
    fn local(self) -> &'static str {
        match self {
            Self::Grpc => "http://localhost:4317",
            Self::Http => "http://localhost:4318",
        }
    }
}

/// The URL for traces, below one for every signal.
fn below(base: &str) -> String {
    format!("{}/v1/traces", base.trim_end_matches('/'))
}

/// With gRPC an address without a scheme is encrypted, unless a variable says otherwise (OpenTelemetry, "OTLP Exporter Configuration").
fn with_scheme(address: &str, variables: &mut Variables) -> String {
    if address.contains("://") {
        return address.to_owned();
    }
    let insecure = variables.first(&INSECURE).is_some_and(|(name, _)| variables.is_true(name));
    format!("{}://{address}", if insecure { "http" } else { "https" })
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is no URL that begins with http:// or https://");
    };
    let after_host = authority.as_str().strip_prefix(authority.host());
    match (authority.host(), after_host, authority.port_u16()) {
        ("", ..) => Err("has no host"),
        // What stands before the host would not be sent.
        (_, None, _) => Err("has a user; credentials are a header, in OTEL_EXPORTER_OTLP_HEADERS"),
        (_, Some(""), _) | (_, _, Some(_)) => Ok(()),
        _ => Err("has a port that is no number up to 65535"),
    }
}

/// A URL without what may be secret in it: a user, a password, a query.
fn shown(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => url.to_owned(),
    }
}

/// How spans are collected, and how long a batch may take. The SDK would take values with which it fails.
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
