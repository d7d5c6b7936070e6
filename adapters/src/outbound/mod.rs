//! Implementations of the ports that the application needs from its environment.

pub mod clock;
pub mod descriptor_limit;
pub mod embedded;
pub mod handover;
pub mod host;
pub mod http_probe;
pub mod jwt;
pub mod log;
pub mod nats;
pub mod otlp;
pub mod prometheus;
pub mod service_manager;
pub mod spans;
