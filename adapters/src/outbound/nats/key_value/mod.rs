//! The key-value stores of NATS JetStream.

mod bookmarks;
mod bucket;
mod preferences;
mod registry;
mod watch;

pub use bookmarks::KeyValueBookmarks;
pub use preferences::KeyValuePreferences;
pub use registry::{KeyValueRegistry, Node};
