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
use ports::outbound::{BookmarkExchange, Heard};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{bucket, bucket_watch::BucketWatch, connection::Connection, invalid::InvalidJson};

/// The bucket.
const BUCKET: &str = "sse-resume";
/// Some 50,000 entries with ids of the usual length.
const MAX_BYTES: i64 = 32 << 20;
/// An entry with the longest ids, in the longest spelling of JSON.
const MAX_VALUE_BYTES: i32 = 8 << 10;
/// So many wait to be told at most: as many as an instance remembers.
const TELL_CAPACITY: usize = 50_000;
/// So many wait to be heard at most.
const HEAR_CAPACITY: usize = 10_000;
/// Stopping does not wait longer than this.
const CLOSING: Duration = Duration::from_secs(2);

/// The bucket, as seen by one instance.
pub struct KeyValueBookmarks {
    told: mpsc::Sender<Told>,
    heard: Mutex<mpsc::Receiver<Heard<Bookmark>>>,
}

/// What is to go out.
enum Told {
    Bookmark(Bookmark),
    /// Everything before this has to have arrived.
    Flush(oneshot::Sender<()>),
}

impl KeyValueBookmarks {
    /// Bookmarks that are kept for `window`, exchanged over `connection`. To be called within the runtime.
    #[must_use]
    pub fn new(connection: &Connection, window: Duration) -> Self {
        let (told, outgoing) = mpsc::channel(TELL_CAPACITY);
        let (incoming, heard) = mpsc::channel(HEAR_CAPACITY);
        // By which its own entries are known.
        let instance = Uuid::new_v4().to_string();
        let limits =
            bucket::Limits { total_bytes: Some(MAX_BYTES), value_bytes: MAX_VALUE_BYTES, age: window };
        let config = bucket::config(BUCKET, "ocis-sse: where streams stood when they ended", limits);
        let own = instance.clone();
        let watch = BucketWatch::new(connection, config, move |entry| read(entry, &own), incoming);
        connection.spawn(write(watch.client(), outgoing, instance));
        connection.spawn(watch.run());
        Self { told, heard: Mutex::new(heard) }
    }
}

#[async_trait]
impl BookmarkExchange for KeyValueBookmarks {
    fn tell(&self, bookmark: Bookmark) {
        // When it is full, the bus is away or slow: it is lost, as it may be.
        self.told.try_send(Told::Bookmark(bookmark)).ok();
    }

    async fn hear(&self) -> Heard<Bookmark> {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        let (sender, arrived) = oneshot::channel();
        let flushed = async {
            if self.told.send(Told::Flush(sender)).await.is_ok() {
                arrived.await.ok();
            }
        };
        tokio::time::timeout(CLOSING, flushed).await.ok();
    }
}

/// Writes what is told, whenever the bucket is there.
async fn write(
    mut bucket: watch::Receiver<Option<Client>>,
    mut outgoing: mpsc::Receiver<Told>,
    instance: String,
) {
    // Clients have a part in how large they are: once is enough.
    let mut is_logged = false;
    while let Some(told) = outgoing.recv().await {
        let Ok(client) = bucket.wait_for(Option::is_some).await.map(|client| client.clone()) else { return };
        let Some(client) = client else { continue };
        match told {
            Told::Bookmark(bookmark) => {
                let subject = format!("$KV.{BUCKET}.{}", key(&bookmark));
                // Whether it was stored is not asked: when the bucket is lost, all bookmarks are told again.
                let published = client.publish(subject, value(&bookmark, &instance).into()).await;
                if let Err(error) = published
                    && error.kind() == PublishErrorKind::MaxPayloadExceeded
                    && !std::mem::replace(&mut is_logged, true)
                {
                    warn!(%error, "bookmarks larger than NATS takes are not told to other instances");
                }
            }
            Told::Flush(done) => {
                // NATS answers after it has taken what was sent before.
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

/// The bookmark, unless `instance` has told it itself, or it cannot be read.
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
