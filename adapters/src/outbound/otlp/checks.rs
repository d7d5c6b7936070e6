//! Checks of the variables that the SDK and the exporter read themselves.
//!
//! They read them before the log exists, and ignore unusable values silently. Therefore these are reported here.

use hyper::header::{HeaderName, HeaderValue};

use super::variables::Variables;

pub(super) const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
pub(super) const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";
pub(super) const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
pub(super) const COMPRESSION: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
pub(super) const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub(super) const PROPAGATORS: &str = "OTEL_PROPAGATORS";

/// Limits of a span that the SDK reads, with their defaults.
const SPAN_LIMITS: [(&str, u64); 3] = [
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", 128),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", 128),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", 128),
];
/// Variables of OpenTelemetry that the SDK does not support.
const UNSUPPORTED: [&str; 6] = [
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_CONFIG_FILE",
];
const SAMPLERS: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, \
                        parentbased_traceidratio";

/// Records unusable values, and what the SDK does instead.
pub(super) fn check(variables: &mut Variables) {
    check_sampler(variables);
    check_headers(variables);
    check_resource(variables);
    check_rest(variables);
}

fn check_sampler(variables: &mut Variables) {
    let Some(sampler) = variables.text(SAMPLER) else { return };
    match sampler.as_str() {
        "always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off" => {}
        "traceidratio" | "parentbased_traceidratio" => {
            let ratio = variables.text(RATIO);
            let parsed = ratio.as_ref().and_then(|ratio| ratio.parse::<f64>().ok());
            let consequence = match parsed {
                Some(ratio) if (0.0..=1.0).contains(&ratio) => return,
                Some(_) => "the nearest number in this range is used",
                None => "1 is used, which samples every trace",
            };
            let problem = format!("is not a number from 0 to 1, as {sampler} requires");
            variables.reject(RATIO, ratio.as_deref(), problem, consequence);
        }
        _ => {
            let problem = format!("is not a supported sampler ({SAMPLERS})");
            variables.reject(SAMPLER, Some(&sampler), problem, "parentbased_always_on is used");
        }
    }
}

/// Names the position of an invalid header, but not its content, which may be secret.
fn check_headers(variables: &mut Variables) {
    let Some((name, headers)) = variables.first(&HEADERS) else { return };
    for (position, header) in headers.split_terminator(',').enumerate() {
        let is_header = header.split_once('=').is_some_and(|(name, value)| {
            let (name, value) = (name.trim(), value.trim());
            name.parse::<HeaderName>().is_ok() && !value.is_empty() && HeaderValue::from_str(value).is_ok()
        });
        if !is_header {
            let problem = format!("is not NAME=VALUE in entry {}", position + 1);
            variables.reject(name, None, problem, "this header is not sent");
        }
    }
}

fn check_resource(variables: &mut Variables) {
    let Some(attributes) = variables.text(RESOURCE) else { return };
    let is_attribute = |entry: &str| entry.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
    for (position, entry) in attributes.split_terminator(',').enumerate() {
        if !is_attribute(entry) {
            let problem = format!("is not KEY=VALUE in entry {}", position + 1);
            variables.reject(RESOURCE, Some(&attributes), problem, "this attribute is ignored");
        }
    }
}

fn check_rest(variables: &mut Variables) {
    if let Some((name, value)) = variables.first(&COMPRESSION)
        && !value.eq_ignore_ascii_case("none")
    {
        variables.reject(name, Some(&value), "is not supported; use none", "spans are sent uncompressed");
    }
    if let Some(value) = variables.text(PROPAGATORS) {
        let mut propagators: Vec<_> = value.split(',').map(str::trim).collect();
        propagators.sort_unstable();
        if propagators != ["baggage", "tracecontext"] {
            let problem = "is not supported; use tracecontext,baggage";
            variables.reject(PROPAGATORS, Some(&value), problem, "tracecontext,baggage is used");
        }
    }
    for (name, default) in SPAN_LIMITS {
        variables.number(name, &(0..=u32::MAX.into()), default);
    }
    for name in UNSUPPORTED {
        if let Some(value) = variables.text(name) {
            variables.reject(name, Some(&value), "is not supported", "it is ignored");
        }
    }
}
