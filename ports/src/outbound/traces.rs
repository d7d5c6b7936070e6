use tracing::Span;

/// Connects spans of this service to traces of other services.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Traces: Send + Sync {
    /// Makes `span`, which has not been entered yet, a part of the trace of `headers`, and adds the baggage as attributes. The size of the
    /// baggage is limited, because any client may choose it. Without tracing, or without a trace in `headers`, the call has no effect.
    fn continue_from(&self, span: &Span, headers: TraceHeaders);
}

/// The trace headers of a request or a message from another service. A missing header is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceHeaders {
    /// `traceparent`: the ids of the trace and of its current span (W3C Trace Context).
    pub trace_parent: String,
    /// `tracestate`: data of the tracing systems (W3C Trace Context).
    pub trace_state: String,
    /// `baggage`: properties that are propagated with the trace (W3C Baggage).
    pub baggage: String,
}
