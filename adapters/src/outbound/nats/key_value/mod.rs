//! Key-value buckets of NATS JetStream, which instances and other services share.

mod bookmarks;
mod bucket;
mod preferences;
mod registry;
mod watch;

pub use bookmarks::KeyValueBookmarks;
pub use preferences::KeyValuePreferences;
pub use registry::{KeyValueRegistry, Node};
pub(super) use {bookmarks::BOOKMARKS, bucket::client, preferences::PREFERENCES, registry::REGISTRY};
