//! The ports of the application: the traits that it offers to its callers ([`inbound`]), and the traits that it needs from its environment
//! ([`outbound`]).
//!
//! Each trait documents the obligations of its implementations, so that an adapter can be written from that page alone. The feature `mock`
//! adds mocks, and the tests of the obligations (`obligations`).
//!
//! **Invariant:** a port has no vendor's type and no vendor's error. The caller can act upon every error.

pub mod inbound;
#[cfg(feature = "mock")]
pub mod obligations;
pub mod outbound;

/// Encoded bytes, ready to be written to any number of streams. Clones share the memory; it is freed when the last clone is dropped.
///
/// The outbound port [`outbound::Frames`] encodes them, and the inbound port [`inbound::EventStream`] returns them.
pub type Frame = bytes::Bytes;
