//! The bus: NATS JetStream.
//!
//! [`connection`] keeps the line to the servers, [`JetStreamSource`] reads the stream that all services share, and
//! [`envelope`] finds in it what is for us. [`KeyValueRegistry`] is where the gateway looks for services,
//! [`KeyValueBookmarks`] where instances tell each other where streams stood, [`KeyValuePreferences`] which languages users have
//! chosen.

mod backoff;
pub mod connection;
pub mod envelope;
mod invalid;
mod key_value;
mod lag;
mod permissions;
mod position;
mod queue;
mod source;
mod subscription;
mod tls;

pub use key_value::{KeyValueBookmarks, KeyValuePreferences, KeyValueRegistry, Node};
pub use source::JetStreamSource;
