//! Translations between the ports and the world: HTTP in front ([`inbound`]), NATS, tokens, metrics and time behind
//! ([`outbound`]).
//!
//! **Invariant:** no adapter names another one; they meet in the composition root alone. [`http_server`] and `web` are no
//! adapters: the inbound ones stand on them.

pub mod http_server;
pub mod inbound;
pub mod outbound;
mod web;
