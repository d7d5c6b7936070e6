//! What the service does, over the ports: it opens streams ([`Subscriptions`]), brings events from the bus to them
//! ([`Relay`]), keeps silent ones alive ([`Keepalive`]) and says whether it can ([`Status`]).
//!
//! **Invariant:** no adapter is named here.

mod keepalive;
mod relay;
mod status;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use keepalive::Keepalive;
pub use relay::Relay;
pub use status::Status;
pub use subscriptions::Subscriptions;
