//! Which languages users have chosen: a key-value bucket of JetStream that every instance writes and watches.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{
        kv::{self, Entry, Operation, Store, UpdateErrorKind},
        stream::StorageType,
    },
};
use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
};
use futures_util::StreamExt as _;
use ports::outbound::{HeardLanguage, LanguagePreferences, NotStored};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tracing::warn;

use super::{bucket, connection::Connection};

/// The bucket.
const BUCKET: &str = "sse-languages";
/// A choice is but a few bytes.
const MAX_VALUE_BYTES: i32 = 1024;
/// So many choices of others wait to be stored, or to be heard, at most.
const CAPACITY: usize = 10_000;
/// After a failure, until the bucket is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Who chooses does not wait longer than this for the bus.
const CHOOSING: Duration = Duration::from_secs(5);

/// The bucket, as seen by one instance.
pub struct KeyValuePreferences {
    connection: Connection,
    kept: mpsc::Sender<LanguageChoice>,
    heard: Mutex<mpsc::Receiver<HeardLanguage>>,
}

impl KeyValuePreferences {
    /// The preferences that are kept over `connection`. To be called within the runtime.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        let (kept, choices) = mpsc::channel(CAPACITY);
        let (incoming, heard) = mpsc::channel(CAPACITY);
        connection.spawn(keep(connection.clone(), choices));
        connection.spawn(Watch { connection: connection.clone(), incoming, said: false }.run());
        Self { connection: connection.clone(), kept, heard: Mutex::new(heard) }
    }

    async fn put(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
    ) -> Result<LanguageChoice, async_nats::Error> {
        let store = open(bucket::client(&self.connection).await?).await?;
        let key = bucket::encode(user.as_str());
        let value = Value { language: language.map(|tag| tag.to_string()), made: None };
        let revision = store.put(&key, value.write()).await?;
        loop {
            // Another server of a cluster may not have it yet.
            let entry = store.entry(&key).await?;
            if let Some(entry) = entry.filter(|entry| entry.revision >= revision) {
                return Ok(read(&entry).ok_or("what was stored is unreadable")?);
            }
        }
    }
}

#[async_trait]
impl LanguagePreferences for KeyValuePreferences {
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<LanguageChoice, NotStored> {
        let stored = tokio::time::timeout(CHOOSING, self.put(user, language)).await;
        let stored = stored.unwrap_or_else(|_| Err("the bus does not answer".into()));
        stored.map_err(|error| {
            warn!(%error, "a user's choice of language could not be stored");
            NotStored
        })
    }

    fn keep(&self, choice: LanguageChoice) {
        if self.kept.try_send(choice).is_err() {
            warn!("too many choices of languages wait to be stored: one holds until this instance ends");
        }
    }

    async fn hear(&self) -> HeardLanguage {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

/// Stores what was chosen elsewhere, one after the other, each until it is stored.
async fn keep(connection: Connection, mut choices: mpsc::Receiver<LanguageChoice>) {
    while let Some(choice) = choices.recv().await {
        while let Err(error) = store(&connection, &choice).await {
            warn!(%error, "a choice of language cannot be stored, trying again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Stores a choice, unless a later one is stored.
async fn store(connection: &Connection, choice: &LanguageChoice) -> Result<(), async_nats::Error> {
    let store = open(bucket::client(connection).await?).await?;
    let key = bucket::encode(choice.user.as_str());
    let language = choice.language.as_ref().map(ToString::to_string);
    let value = Value { language, made: Some(choice.made) }.write();
    loop {
        let stored = store.entry(&key).await?;
        let made = stored.as_ref().and_then(read).map(|stored| stored.made);
        if made.is_some_and(|made| made >= choice.made) {
            return Ok(());
        }
        let revision = stored.map_or(0, |stored| stored.revision);
        match store.update(&key, value.clone(), revision).await {
            Ok(_) => return Ok(()),
            // Somebody else was quicker, perhaps with a later one.
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Who tells what is stored.
struct Watch {
    connection: Connection,
    incoming: mpsc::Sender<HeardLanguage>,
    /// Whether it has been said that everything was heard.
    said: bool,
}

impl Watch {
    /// Runs until nobody listens any more.
    async fn run(mut self) {
        while !self.incoming.is_closed() {
            if let Err(error) = self.attend().await {
                warn!(%error, "the languages that users have chosen cannot be read, trying again");
                self.up_to_date().await;
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn up_to_date(&mut self) {
        if !std::mem::replace(&mut self.said, true) {
            self.incoming.send(HeardLanguage::UpToDate).await.ok();
        }
    }

    /// Watches until something fails or nobody listens any more. A lost line is made anew underneath, and misses nothing.
    async fn attend(&mut self) -> Result<(), async_nats::Error> {
        let bucket = open(bucket::client(&self.connection).await?).await?;
        // What it does not say is that there is nothing.
        if bucket.stream.cached_info().state.messages == 0 {
            self.up_to_date().await;
        }
        let mut watch = bucket.watch_with_history(">").await?;
        loop {
            tokio::select! {
                // A user has chosen.
                entry = watch.next() => {
                    let entry = entry.ok_or("the watch has ended")??;
                    if let Some(choice) = read(&entry) {
                        self.incoming.send(HeardLanguage::Choice(choice)).await.ok();
                    } else {
                        // Its key may name a user. By its revision it can be looked up.
                        warn!(revision = entry.revision, "an entry of the bucket {BUCKET} was passed over");
                    }
                    if entry.seen_current {
                        self.up_to_date().await;
                    }
                }
                // We are to end.
                () = self.incoming.closed() => return Ok(()),
            }
        }
    }
}

async fn open(client: Client) -> Result<Store, async_nats::Error> {
    let config = kv::Config {
        bucket: BUCKET.into(),
        description: "ocis-sse: which languages users have chosen".into(),
        history: 1,
        max_value_size: MAX_VALUE_BYTES,
        storage: StorageType::File,
        ..kv::Config::default()
    };
    bucket::open(client, config).await
}

/// What is stored of a user's choice.
#[derive(Deserialize, Serialize)]
struct Value {
    /// The language; none when the choice was taken back.
    language: Option<String>,
    /// When it was made elsewhere on the platform, since 1970; else that is when it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<Duration>,
}

impl Value {
    fn write(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// None of what was put there by nobody of us.
fn read(entry: &Entry) -> Option<LanguageChoice> {
    let user = UserId::try_new(&bucket::decode(&entry.key)?).ok()?;
    let value = match entry.operation {
        Operation::Put => serde_json::from_slice(&entry.value).ok()?,
        // An administrator has taken it away.
        Operation::Delete | Operation::Purge => Value { language: None, made: None },
    };
    let language = value.language.map(|language| LanguageTag::try_new(&language)).transpose().ok()?;
    let stored = u64::try_from(entry.created.unix_timestamp_nanos()).ok().map(Duration::from_nanos)?;
    Some(LanguageChoice { user, language, made: value.made.unwrap_or(stored) })
}
