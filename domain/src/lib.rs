//! The rules of the service.
//!
//! - [`log`]: the log of recent events and the streams that read it. [`gap`]: what a client learns when events are missing. [`bookmark`]:
//!   the positions of ended streams.
//! - [`notification`] and [`content`]: an event. [`type_filter`]: the types of events that a stream asks for. [`identity`]: users. [`language`]: the languages that users prefer.
//! - [`session`] and [`keepalive`]: when a stream ends and when it needs a comment. [`jitter`]: how simultaneous timers are distributed.
//! - [`drain`]: when streams end because the service stops, and when their clients return.
//! - [`revocation`]: tokens that are rejected before they expire. [`origin`]: the web pages that may read the service's answers.
//! - [`statistics`] and [`distribution`]: the figures that an administrator sees.
//!
//! **Invariant:** the domain has no async, no I/O, no clock and no vendor's type in any signature. The time is an argument.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests start at an arbitrary time"))]

pub mod bookmark;
mod capacity;
pub mod content;
pub mod distribution;
pub mod drain;
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
pub mod statistics;
mod sync;
pub mod type_filter;
