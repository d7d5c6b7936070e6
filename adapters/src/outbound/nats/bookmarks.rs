//! Where streams stood when they ended: a key-value bucket of JetStream that every instance writes and watches.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{
        kv::{self, Operation, Store},
        stream::StorageType,
    },
};
use async_trait::async_trait;
use domain::{
    bookmark::{Bookmark, RequestId, ResumePoint},
    identity::UserId,
};
use futures_util::StreamExt as _;
use ports::outbound::{BookmarkExchange, Heard};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{bucket, connection::Connection, invalid::InvalidJson};

/// The bucket.
const BUCKET: &str = "sse-resume";
/// So many wait to be told, or to be heard, at most.
const CAPACITY: usize = 10_000;
/// After a failure, until the bucket is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Those who come back do not wait longer than this for what was told before, once the bus is there.
const BACKLOG: Duration = Duration::from_secs(2);
/// Stopping does not wait longer than this.
const CLOSING: Duration = Duration::from_secs(2);

/// The bucket, as seen by one instance.
pub struct KeyValueBookmarks {
    told: mpsc::Sender<Told>,
    heard: Mutex<mpsc::Receiver<Heard>>,
}

/// What is to go out.
enum Told {
    Bookmark(Bookmark),
    /// Everything before this has to have gone out.
    Flush(oneshot::Sender<()>),
}

impl KeyValueBookmarks {
    /// Bookmarks that are kept for `window`, exchanged over `connection`. To be called within the runtime.
    #[must_use]
    pub fn new(connection: &Connection, window: Duration) -> Self {
        let (told, outgoing) = mpsc::channel(CAPACITY);
        let (incoming, heard) = mpsc::channel(CAPACITY);
        let exchange = Exchange {
            connection: connection.clone(),
            window,
            instance: Uuid::new_v4().to_string(),
            outgoing,
            incoming,
            said: false,
        };
        connection.spawn(exchange.run());
        Self { told, heard: Mutex::new(heard) }
    }
}

#[async_trait]
impl BookmarkExchange for KeyValueBookmarks {
    fn tell(&self, bookmark: Bookmark) {
        // When it is full, the bus is away or slow: it is lost, as it may be.
        self.told.try_send(Told::Bookmark(bookmark)).ok();
    }

    async fn hear(&self) -> Heard {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {
        let (sender, gone) = oneshot::channel();
        let flushed = async {
            if self.told.send(Told::Flush(sender)).await.is_ok() {
                gone.await.ok();
            }
        };
        tokio::time::timeout(CLOSING, flushed).await.ok();
    }
}

/// The one who writes and watches the bucket.
struct Exchange {
    connection: Connection,
    window: Duration,
    /// By which its own entries are known.
    instance: String,
    outgoing: mpsc::Receiver<Told>,
    incoming: mpsc::Sender<Heard>,
    /// Whether it has been said that everything was heard.
    said: bool,
}

impl Exchange {
    /// Runs until nobody listens any more.
    async fn run(mut self) {
        while !self.incoming.is_closed() {
            if let Err(error) = self.attend().await {
                warn!(%error, "where streams stood cannot be exchanged with other instances, trying again");
                self.up_to_date().await;
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn up_to_date(&mut self) {
        if !std::mem::replace(&mut self.said, true) {
            self.incoming.send(Heard::UpToDate).await.ok();
        }
    }

    /// Writes and watches, until something fails or nobody listens any more.
    async fn attend(&mut self) -> Result<(), async_nats::Error> {
        let client = bucket::client(&self.connection).await?;
        let bucket = open(client.clone(), self.window).await?;
        if bucket.stream.cached_info().state.messages == 0 {
            self.up_to_date().await;
        }
        let mut watch = bucket.watch_with_history(">").await?;
        let backlog = tokio::time::sleep(BACKLOG);
        tokio::pin!(backlog);
        loop {
            tokio::select! {
                // Another instance has told something, or we have.
                entry = watch.next() => {
                    let entry = entry.ok_or("the watch has ended")??;
                    if entry.operation == Operation::Put && let Some(bookmark) = self.read(&entry.value) {
                        self.incoming.send(Heard::Bookmark(bookmark)).await.ok();
                    }
                    if entry.seen_current {
                        self.up_to_date().await;
                    }
                }
                // A stream has ended here.
                told = self.outgoing.recv() => match told {
                    Some(Told::Bookmark(bookmark)) => {
                        let subject = format!("$KV.{BUCKET}.{}", key(&bookmark));
                        // Whether it was stored is not asked: nothing would follow from it.
                        client.publish(subject, self.write(&bookmark).into()).await?;
                    }
                    Some(Told::Flush(done)) => {
                        client.flush().await?;
                        done.send(()).ok();
                    }
                    None => return Ok(()),
                },
                // The last of what was told before may have been forgotten meanwhile.
                () = &mut backlog, if !self.said => self.up_to_date().await,
            }
        }
    }

    fn write(&self, bookmark: &Bookmark) -> String {
        let entry = Entry {
            instance: self.instance.clone(),
            user: bookmark.user.as_str().into(),
            request: bookmark.request.as_str().into(),
            position: bookmark.point.position.to_string(),
            logged_out: bookmark.point.logged_out.map(|id| id.to_string()),
        };
        serde_json::to_string(&entry).unwrap_or_default()
    }

    /// None of what we have told ourselves, or cannot be read.
    fn read(&self, value: &[u8]) -> Option<Bookmark> {
        let entry: Entry = serde_json::from_slice(value)
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
        (entry.instance != self.instance).then_some(bookmark)
    }
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

async fn open(client: Client, window: Duration) -> Result<Store, async_nats::Error> {
    let config = kv::Config {
        bucket: BUCKET.into(),
        description: "ocis-sse: where streams stood when they ended".into(),
        history: 1,
        max_age: window,
        storage: StorageType::Memory,
        ..kv::Config::default()
    };
    bucket::open(client, config).await
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
