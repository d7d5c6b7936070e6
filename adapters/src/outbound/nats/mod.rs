//! The bus: NATS JetStream.
//!
//! [`connection`] keeps the line to the servers, [`JetStreamSource`] reads the stream that all services share, and
//! `envelope` finds in it what is for us.

pub mod connection;
mod envelope;
mod source;

pub use source::JetStreamSource;
