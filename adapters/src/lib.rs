//! The adapters between the ports and the outside world: [`inbound`] serves HTTP, [`outbound`] speaks to NATS and implements tokens, metrics
//! and time.
//!
//! **Invariant:** no adapter names another one; only the composition root combines them. [`http_server`] and `web` are not adapters but shared
//! infrastructure of the inbound adapters; `any_certificate` and [`error_text`] are shared by all.

mod any_certificate;
pub mod error_text;
pub mod http_server;
pub mod inbound;
pub mod outbound;
mod web;
