//! Translations between the ports and the world: HTTP in front ([`inbound`]), NATS, tokens, metrics and time behind
//! ([`outbound`]).
//!
//! **Invariant:** no adapter names another one; they meet in the composition root alone. [`http_server`] is not an adapter: it is
//! what the inbound ones stand on.

pub mod http_server;
pub mod inbound;
pub mod outbound;
