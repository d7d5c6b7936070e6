//! The event stream on the wire: how events are encoded, and the body that writes them.

mod body;
mod encoder;
#[cfg(test)]
mod parser;

pub(super) use self::body::EventStreamBody;
pub use self::encoder::EventFrames;
