//! Where streams stood when they ended: a key-value bucket of JetStream that every instance writes and watches.

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

/// The bucket.
const BUCKET: &str = "sse-resume";
/// Some 50,000 entries with ids of the usual length.
const MAX_BYTES: i64 = 32 << 20;
/// An entry with the longest ids, in the longest spelling of JSON.
const MAX_VALUE_BYTES: i32 = 8 << 10;
/// Maximum number of bookmarks that wait to be published: as many as an instance remembers.
const PUBLISH_CAPACITY: usize = 50_000;
/// Maximum number of updates that wait to be read.
const UPDATE_CAPACITY: usize = 10_000;
/// Maximum time that stopping waits for NATS.
const CLOSING: Duration = Duration::from_secs(2);

/// The bucket of bookmarks, as one instance reads and writes it.
pub struct KeyValueBookmarks {
    outgoing: mpsc::Sender<Outgoing>,
    updates: Mutex<mpsc::Receiver<StoreUpdate<Bookmark>>>,
}

/// A command for the task that writes.
enum Outgoing {
    Bookmark(Bookmark),
    /// Answers when everything before it has arrived in NATS.
    Flush(oneshot::Sender<()>),
}

impl KeyValueBookmarks {
    /// Bookmarks that are kept for `window`, exchanged over `connection`. To be called within the runtime.
    #[must_use]
    pub fn new(connection: &Connection, window: Duration) -> Self {
        let (outgoing, receiver) = mpsc::channel(PUBLISH_CAPACITY);
        let (incoming, updates) = mpsc::channel(UPDATE_CAPACITY);
        // An instance ignores its own entries.
        let instance = Uuid::new_v4().to_string();
        let limits =
            bucket::Limits { total_bytes: Some(MAX_BYTES), value_bytes: MAX_VALUE_BYTES, age: window };
        let config = bucket::config(BUCKET, "ocis-sse: where streams stood when they ended", limits);
        let own = instance.clone();
        let watch = BucketWatch::new(connection, config, move |entry| read(entry, &own), incoming);
        connection.spawn(write(watch.client(), receiver, instance));
        connection.spawn(watch.run());
        Self { outgoing, updates: Mutex::new(updates) }
    }
}

#[async_trait]
impl BookmarkExchange for KeyValueBookmarks {
    fn publish(&self, bookmark: Bookmark) {
        // A full queue means that NATS is unreachable or slow. The port allows the bookmark to be lost then.
        self.outgoing.try_send(Outgoing::Bookmark(bookmark)).ok();
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
            if self.outgoing.send(Outgoing::Flush(sender)).await.is_ok() {
                arrived.await.ok();
            }
        };
        tokio::time::timeout(CLOSING, flushed).await.ok();
    }
}

/// Writes bookmarks whenever the bucket is available.
async fn write(
    mut bucket: watch::Receiver<Option<Client>>,
    mut receiver: mpsc::Receiver<Outgoing>,
    instance: String,
) {
    // Clients decide how large a bookmark is, so it is logged once.
    let mut is_logged = false;
    while let Some(outgoing) = receiver.recv().await {
        let Ok(client) = bucket.wait_for(Option::is_some).await.map(|client| client.clone()) else { return };
        let Some(client) = client else { continue };
        match outgoing {
            Outgoing::Bookmark(bookmark) => {
                let subject = format!("$KV.{BUCKET}.{}", key(&bookmark));
                // No acknowledgement is awaited: when the bucket is lost, all bookmarks are published again.
                let published = client.publish(subject, value(&bookmark, &instance).into()).await;
                if let Err(error) = published
                    && error.kind() == PublishErrorKind::MaxPayloadExceeded
                    && !std::mem::replace(&mut is_logged, true)
                {
                    warn!(%error, "bookmarks larger than NATS accepts are not shared with other instances");
                }
            }
            Outgoing::Flush(done) => {
                // NATS handles the messages of a connection in order, so its answer follows on the bookmarks.
                jetstream::new(client).get_stream(format!("KV_{BUCKET}")).await.ok();
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

/// Returns the bookmark in an entry; none when it is unreadable or `instance`'s own.
fn read(entry: &kv::Entry, instance: &str) -> Option<Bookmark> {
    if entry.operation != kv::Operation::Put {
        return None;
    }
    let entry: Entry = serde_json::from_slice(&entry.value)
        .map_err(InvalidJson::from)
        .inspect_err(|error| debug!(%error, "an entry of another version was passed over"))
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

#[derive(Deserialize, Serialize)]
struct Entry {
    instance: String,
    user: String,
    request: String,
    position: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logged_out: Option<String>,
}

/// A user's id ends where the other begins.
fn key(Bookmark { user, request, .. }: &Bookmark) -> String {
    format!("{}.{}", bucket::encode(user.as_str()), bucket::encode(request.as_str()))
}

#[cfg(test)]
mod tests {
    use domain::notification::{EventId, Incarnation};

    use super::*;

    #[test]
    fn users_and_requests_of_any_form_have_a_key_of_their_own() {
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
