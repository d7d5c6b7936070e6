//! The rules of the service, and nothing else.
//!
//! The recent events and the streams that read them ([`log`]), what a client is told when events are missing ([`gap`]), what a notification
//! is ([`notification`]) and says ([`content`]), whom it is for ([`identity`]), whose tokens are refused before they expire ([`revocation`]), which web pages may read ([`origin`]), where ended streams
//! had come ([`bookmark`]), what is due when in a stream's life ([`session`]), when a silent one needs a keepalive ([`keepalive`]), which
//! language is read on it ([`language`]), how what would happen to many at once gets jitter ([`jitter`]), and how values are distributed
//! ([`distribution`]).
//!
//! **Invariant:** no async, no I/O, no clock and no vendor's type in any signature. The time is an argument.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "a test starts at any time"))]

pub mod bookmark;
mod capacity;
pub mod content;
pub mod distribution;
pub mod gap;
pub mod identity;
pub mod jitter;
pub mod keepalive;
pub mod language;
pub mod log;
pub mod notification;
pub mod origin;
pub mod revocation;
pub mod session;
mod sync;
