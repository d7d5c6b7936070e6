//! Probes of NATS for a diagnosis.

mod bus;
mod registry;

pub use bus::JetStreamProbe;
pub use registry::KeyValueRegistryProbe;
