//! NATS JetStream: the source of events, and the stores that instances share.
//!
//! [`connection`] connects to the servers. [`JetStreamSource`] reads the stream that all services of the platform share, and
//! [`envelope`] decodes its messages. [`KeyValueBookmarks`], [`KeyValuePreferences`] and [`KeyValueRegistry`] are key-value buckets: the
//! bookmarks of ended streams, the users' language choices, and the platform's service registry. [`JetStreamProbe`] and
//! [`KeyValueRegistryProbe`] test for a diagnosis what the others use.

mod backoff;
pub mod connection;
pub mod envelope;
mod invalid;
mod key_value;
mod permissions;
mod position;
mod probe;
mod queue;
mod source;
mod subscription;
mod tls;

pub use key_value::{KeyValueBookmarks, KeyValuePreferences, KeyValueRegistry, Node};
pub use probe::{JetStreamProbe, KeyValueRegistryProbe};
pub use source::JetStreamSource;
