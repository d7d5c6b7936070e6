//! The rules of the service, and nothing else.
//!
//! Who is connected and receives what ([`fanout`]), what a notification is ([`notification`]), whom it is for
//! ([`identity`]), when a silent stream needs a sign of life ([`keepalive`]) and how long everybody waits for a slow
//! one ([`patience`]).
//!
//! **Invariant:** no async, no I/O, no clock and no vendor's type. The time is an argument.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "a test starts at any time"))]

pub mod fanout;
pub mod identity;
pub mod keepalive;
pub mod notification;
pub mod patience;
