//! The adapters between the ports and the outside world: [`inbound`] serves HTTP, [`outbound`] speaks to NATS and implements tokens, metrics
//! and time.
//!
//! **Invariant:** no adapter names another one; only the composition root combines them. [`http_server`] and `web` are not adapters but shared
//! infrastructure of the inbound adapters.

pub mod http_server;
pub mod inbound;
pub mod outbound;
mod web;
