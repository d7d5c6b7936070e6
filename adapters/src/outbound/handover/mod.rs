//! The take-over between two processes of the service on one host, over a Unix socket.
//!
//! The running process listens ([`TakeOverListener`]). Its successor connects ([`Predecessor`]), and the two exchange messages:
//!
//! ```text
//! successor                                  predecessor
//!     Request (format, version)         ──►
//!                                       ◄──  Offer (format, version, token, listening sockets), or Refused
//!     Ready (room for streams)          ──►                      the successor has read NATS
//!                                       ◄──  Proceed             the successor accepts connections from now on
//!                                       ◄──  Streams (sockets)   repeated; none of these is written to meanwhile
//!     Confirmed                         ──►                      the streams belong to the successor
//! ```
//!
//! A stream belongs to exactly one process at any time. The predecessor gives up streams when it has read `Confirmed`, and the successor
//! writes to them when it has sent it. If the predecessor gives up waiting, it first shuts down its receiving side: from then on `Confirmed`
//! cannot be sent, and what was sent before is read. A process that ends at any point closes the streams that belong to it, and the other
//! one continues its own.

mod channel;
mod messages;
mod predecessor;
mod start;
mod successor;

pub use self::{
    predecessor::{Offer, Predecessor, TakeOverFailed},
    start::start_successor,
    successor::{Answer, SuccessorProcess, TakeOverListener},
};

#[cfg(test)]
mod tests;
