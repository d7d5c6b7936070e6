//! Translations between the ports and the world: HTTP in front ([`inbound`]), NATS, tokens, metrics and time behind
//! ([`outbound`]).
//!
//! **Invariant:** no adapter knows another one; they meet in the composition root alone. (What listens in front,
//! [`inbound::server`], is the ground on which the inbound ones stand.)

pub mod inbound;
pub mod outbound;
