//! The bus: NATS JetStream.
//!
//! [`connection`] keeps the line to the servers, [`JetStreamSource`] reads the stream that all services share, and
//! [`envelope`] finds in it what is for us. [`KeyValueRegistry`] is where the gateway looks for services,
//! [`KeyValueBookmarks`] where instances tell each other where streams stood, [`KeyValuePreferences`] which languages users have
//! chosen.

mod bookmarks;
mod bucket;
mod bucket_watch;
pub mod connection;
pub mod envelope;
mod invalid;
mod lag;
mod permissions;
mod position;
mod preferences;
mod queue;
mod registry;
mod source;
mod subscription;
mod tls;

pub use bookmarks::KeyValueBookmarks;
pub use preferences::KeyValuePreferences;
pub use registry::{KeyValueRegistry, Node};
pub use source::JetStreamSource;
