use tracing::Span;

/// Ties what happens here to what happened in other services.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Traces: Send + Sync {
    /// Makes `span`, which has not begun, a part of the trace that `origin` names, and shows on it what was carried along: of
    /// that a bounded part, for strangers choose it. Without tracing, or with an origin that says nothing, nothing happens.
    fn continue_from(&self, span: &Span, origin: Origin);
}

/// What another service says of the trace that led here, in the form of its headers. What it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `traceparent`: the trace and the span in it (W3C Trace Context).
    pub trace_parent: String,
    /// `tracestate`: what systems of tracing add for themselves (W3C Trace Context).
    pub trace_state: String,
    /// `baggage`: what is carried along with the trace (W3C Baggage).
    pub baggage: String,
}
