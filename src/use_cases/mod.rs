//! What the service does, over the ports: it opens streams ([`Subscriptions`]), brings events from the bus to them
//! ([`Relay`]), keeps silent ones alive ([`Keepalive`]), lets the gateway find it ([`Announcement`]) and says
//! whether it can do all this ([`Status`]).
//!
//! **Invariant:** no adapter is named here.

mod announcement;
mod keepalive;
mod relay;
mod status;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use announcement::Announcement;
pub use keepalive::Keepalive;
pub use relay::Relay;
pub use status::Status;
pub use subscriptions::Subscriptions;
