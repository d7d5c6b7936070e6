//! The ports that the application needs from its environment.

mod bookmark_exchange;
mod bus_probe;
mod clock;
mod event_source;
mod frames;
mod http_metrics;
mod language_preferences;
mod measurements;
mod metrics;
mod publish;
mod registry_probe;
mod service_registry;
mod store_update;
mod stream_probe;
mod successor;
mod tickets;
mod token_verifier;
mod traces;

pub use bookmark_exchange::BookmarkExchange;
pub use bus_probe::{BusFault, BusProbe, StoreTest};
pub use clock::Clock;
pub use event_source::{EventSource, MessageMetadata, SourceEvent};
pub use frames::Frames;
pub use http_metrics::HttpMetrics;
pub use language_preferences::{LanguagePreferences, NotStored};
pub use measurements::Measurements;
pub use metrics::{AuthenticationFailure, Bucket, Metrics, Outcome};
pub use publish::Publish;
pub use registry_probe::{RegisteredInstance, RegistryProbe};
pub use service_registry::{RegistryUnavailable, ServiceRegistry};
pub use store_update::StoreUpdate;
pub use stream_probe::{BodyPart, ProbeBody, ProbeFault, ProbeRequest, ProbeResponse, StreamProbe};
pub use successor::{MAX_STREAMS, Successor, SuccessorLost};
pub use tickets::{TicketRejected, Tickets};
pub use token_verifier::{TokenRejected, TokenVerifier};
pub use traces::{TraceHeaders, Traces};

#[cfg(feature = "mock")]
pub use {
    clock::MockClock, frames::MockFrames, http_metrics::MockHttpMetrics, measurements::MockMeasurements,
    metrics::MockMetrics, token_verifier::MockTokenVerifier, traces::MockTraces,
};
