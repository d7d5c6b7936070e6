use tracing::Span;

/// Ties what happens here to what happened in other services (W3C Trace Context).
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Traces: Send + Sync {
    /// Makes `span`, which has not begun, a part of the trace that the header `traceparent` names. Without tracing, or with a
    /// text that names none, nothing happens.
    fn continue_from(&self, span: &Span, trace_parent: &str);
}
