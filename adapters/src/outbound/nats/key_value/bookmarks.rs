//! The bookmarks of ended streams: a bucket that every instance writes and watches.

use std::time::Duration;

use async_nats::{
    Client,
    client::PublishErrorKind,
    jetstream::{self, kv},
};
use async_trait::async_trait;
use domain::{
    bookmark::{Bookmark, RequestId, ResumePoint},
    identity::UserId,
};
use ports::outbound::{BookmarkExchange, StoreUpdate};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    super::{connection::Connection, invalid::InvalidJson},
    bucket,
    watch::BucketWatch,
};

/// The name of the bucket.
pub(in crate::outbound::nats) const BOOKMARKS: &str = "sse-resume";
/// Maximum size of the bucket, in bytes: about 50,000 entries with ids of the usual length.
const MAX_BYTES: i64 = 32 << 20;
/// Maximum size of an entry, in bytes: the longest ids, with every character escaped in JSON.
const MAX_VALUE_BYTES: i32 = 8 << 10;
/// Maximum number of bookmarks that wait to be published. An instance remembers as many.
const PUBLISH_CAPACITY: usize = 50_000;
/// Maximum number of updates that wait to be read.
const UPDATE_CAPACITY: usize = 10_000;
/// Timeout for publishing the remaining bookmarks when the service stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The bookmarks in NATS, as one instance reads and writes them.
pub struct KeyValueBookmarks {
    commands: mpsc::Sender<Command>,
    updates: Mutex<mpsc::Receiver<StoreUpdate<Bookmark>>>,
}

/// A command for the task that writes.
enum Command {
    /// Publishes a bookmark.
    Bookmark(Bookmark),
    /// Replies when the bookmarks before this command have arrived in NATS.
    Flush(oneshot::Sender<()>),
}

impl KeyValueBookmarks {
    /// Creates the exchange of one instance. NATS keeps a bookmark for `window`.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    #[must_use]
    pub fn new(connection: &Connection, window: Duration) -> Self {
        let (commands, receiver) = mpsc::channel(PUBLISH_CAPACITY);
        let (update_sender, updates) = mpsc::channel(UPDATE_CAPACITY);
        // An instance ignores its own entries.
        let instance = Uuid::new_v4().to_string();
        let limits =
            bucket::Limits { total_bytes: Some(MAX_BYTES), value_bytes: MAX_VALUE_BYTES, age: window };
        let config = bucket::config(BOOKMARKS, "ocis-sse: bookmarks of ended streams", limits);
        let own = instance.clone();
        let watch = BucketWatch::new(connection, config, move |entry| read(entry, &own), update_sender);
        connection.spawn(write(watch.client(), receiver, instance));
        connection.spawn(watch.run());
        Self { commands, updates: Mutex::new(updates) }
    }
}

#[async_trait]
impl BookmarkExchange for KeyValueBookmarks {
    fn publish(&self, bookmark: Bookmark) {
        // If the queue is full, NATS is unreachable or slow, and the bookmark is lost.
        self.commands.try_send(Command::Bookmark(bookmark)).ok();
    }

    async fn next_update(&self) -> StoreUpdate<Bookmark> {
        match self.updates.lock().await.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        let (sender, arrived) = oneshot::channel();
        let flushed = async {
            if self.commands.send(Command::Flush(sender)).await.is_ok() {
                arrived.await.ok();
            }
        };
        tokio::time::timeout(CLOSE_TIMEOUT, flushed).await.ok();
    }
}

/// Runs the commands while the bucket is available.
async fn write(
    mut bucket: watch::Receiver<Option<Client>>,
    mut receiver: mpsc::Receiver<Command>,
    instance: String,
) {
    // Logged once, because clients choose the size of a bookmark.
    let mut is_logged = false;
    while let Some(command) = receiver.recv().await {
        let Ok(client) = bucket.wait_for(Option::is_some).await.map(|client| client.clone()) else { return };
        let Some(client) = client else { continue };
        match command {
            Command::Bookmark(bookmark) => {
                let subject = format!("$KV.{BOOKMARKS}.{}", key(&bookmark));
                // Acknowledgements are not awaited, because all bookmarks are published again if the bucket is lost.
                let published = client.publish(subject, value(&bookmark, &instance).into()).await;
                if let Err(error) = published
                    && error.kind() == PublishErrorKind::MaxPayloadExceeded
                    && !std::mem::replace(&mut is_logged, true)
                {
                    warn!(%error, "bookmarks larger than NATS accepts are not shared with other instances");
                }
            }
            Command::Flush(done) => {
                // NATS processes the messages of a connection in order, so it replies after it has received the bookmarks.
                jetstream::new(client).get_stream(format!("KV_{BOOKMARKS}")).await.ok();
                done.send(()).ok();
            }
        }
    }
}

fn value(bookmark: &Bookmark, instance: &str) -> String {
    let entry = Entry {
        instance: instance.into(),
        user: bookmark.user.as_str().into(),
        request: bookmark.request.as_str().into(),
        position: bookmark.point.position.to_string(),
        logged_out: bookmark.point.logged_out.map(|id| id.to_string()),
    };
    serde_json::to_string(&entry).unwrap_or_default()
}

/// Decodes a bookmark. Returns none if the entry is unreadable or was published by `instance`.
fn read(entry: &kv::Entry, instance: &str) -> Option<Bookmark> {
    if entry.operation != kv::Operation::Put {
        return None;
    }
    let entry: Entry = serde_json::from_slice(&entry.value)
        .map_err(InvalidJson::from)
        .inspect_err(|error| debug!(%error, "unreadable bookmark skipped"))
        .ok()?;
    let bookmark = Bookmark {
        user: UserId::try_new(&entry.user).ok()?,
        request: RequestId::try_new(&entry.request).ok()?,
        point: ResumePoint {
            position: entry.position.parse().ok()?,
            logged_out: entry.logged_out.and_then(|id| id.parse().ok()),
        },
    };
    (entry.instance != instance).then_some(bookmark)
}

/// The value of an entry, in JSON.
#[derive(Deserialize, Serialize)]
struct Entry {
    instance: String,
    user: String,
    request: String,
    position: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logged_out: Option<String>,
}

/// Returns the key of a bookmark. A dot separates the ids; encoded ids contain none.
fn key(Bookmark { user, request, .. }: &Bookmark) -> String {
    format!("{}.{}", bucket::encode(user.as_str()), bucket::encode(request.as_str()))
}

#[cfg(test)]
mod tests {
    use domain::notification::{EventId, Incarnation};

    use super::*;

    #[test]
    fn keys_are_valid_and_unique() {
        let bookmark = |user: &str, request: &str| Bookmark {
            user: UserId::try_new(user).expect("a user id"),
            request: RequestId::try_new(request).expect("a request id"),
            point: ResumePoint {
                position: EventId { incarnation: Incarnation::of(1), sequence: 1 },
                logged_out: None,
            },
        };
        assert_eq!(key(&bookmark("a", "tab")), "ME.ORQWE");
        let keys = [("a", "b.c"), ("a.b", "c"), ("ab", "c"), ("müller@example.org", "*"), (">", " ")];
        let keys = keys.map(|(user, request)| key(&bookmark(user, request)));
        for (position, key) in keys.iter().enumerate() {
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'), "{key}");
            assert!(!keys[..position].contains(key), "{key} twice");
        }
    }
}
