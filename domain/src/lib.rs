//! The rules of the service, and nothing else.
//!
//! Who is connected and receives what ([`fanout`]), what a notification is ([`notification`]) and
//! says ([`content`]), whom it is for
//! ([`identity`]), which web pages may read ([`origin`]), what a client that returns has missed ([`history`]) and where it stood ([`bookmark`]), what is due when in
//! a stream's life ([`session`]), when a silent one needs a sign of life ([`keepalive`]), which language is read on it
//! ([`language`]), how long everybody waits for a slow one ([`patience`]), how what would happen to many at once is spread
//! ([`spread`]), and how values are distributed ([`distribution`]).
//!
//! **Invariant:** no async, no I/O, no clock and no vendor's type in any signature. The time is an argument.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "a test starts at any time"))]

pub mod bookmark;
pub mod content;
pub mod distribution;
pub mod fanout;
pub mod history;
pub mod identity;
pub mod keepalive;
pub mod language;
pub mod notification;
pub mod origin;
pub mod patience;
pub mod session;
pub mod spread;
