//! The trace context of requests and messages from other services.

use std::collections::HashMap;

use opentelemetry::{Context, baggage::BaggageExt as _, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use ports::outbound::{TraceHeaders, Traces};
use tracing::{Dispatch, Span, dispatcher};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Maximum number of entries that are read of `tracestate` and of `baggage`.
const MAX_ENTRIES: usize = 32;
/// Maximum size of these entries together, in bytes.
const MAX_BYTES: usize = 1024;

/// Reads the headers of W3C Trace Context and W3C Baggage.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceContext;

impl Traces for TraceContext {
    fn continue_from(&self, span: &Span, headers: TraceHeaders) {
        if span.is_disabled() || headers == TraceHeaders::default() {
            return;
        }
        let context = context(headers);
        for (name, (value, _)) in context.baggage() {
            span.set_attribute(format!("baggage.{name}"), value.clone());
        }
        // Fails without tracing, where it is not needed.
        span.set_parent(context).ok();
    }
}

fn context(TraceHeaders { trace_parent, trace_state, baggage }: TraceHeaders) -> Context {
    let headers = HashMap::from([
        ("traceparent".to_owned(), trace_parent),
        ("tracestate".to_owned(), first_entries(&trace_state).to_owned()),
        ("baggage".to_owned(), first_entries(&baggage).to_owned()),
    ]);
    // The propagators would log the content of headers that they cannot read.
    dispatcher::with_default(&Dispatch::none(), || {
        let context = TraceContextPropagator::new().extract(&headers);
        BaggagePropagator::new().extract_with_context(&context, &headers)
    })
}

/// Returns the first entries of a list, within the limits. In `tracestate`, the newest entries come first.
fn first_entries(list: &str) -> &str {
    let ends = list.match_indices(',').map(|(end, _)| end).chain([list.len()]);
    let end = ends.take(MAX_ENTRIES).take_while(|end| *end <= MAX_BYTES).last().unwrap_or(0);
    &list[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_entries_within_the_limits_are_read() {
        let check = |list: &str, expected: &str| assert_eq!(first_entries(list), expected);
        check("", "");
        check("a=1", "a=1");
        check("a=1,b=2", "a=1,b=2");
        let fitting = format!("a={}", "x".repeat(MAX_BYTES - 2));
        check(&fitting, &fitting);
        check(&format!("{fitting},b=2"), &fitting);
        check(&format!("b=2,{fitting}"), "b=2");
        check(&format!("{fitting}x"), "");
        let many = vec!["a=1"; MAX_ENTRIES].join(",");
        check(&many, &many);
        check(&format!("{many},b=2"), &many);
    }
}
