//! What the application offers to those who drive it ([`inbound`]) and what it needs from the world ([`outbound`]).
//!
//! Each trait says what an implementation is obliged to, so that an adapter can be written from its page alone. With the
//! feature `mock` there is a mock of each.
//!
//! **Invariant:** no vendor's type and no vendor's error; whoever calls can act upon every error there is.

pub mod inbound;
#[cfg(feature = "mock")]
pub mod obligations;
pub mod outbound;
