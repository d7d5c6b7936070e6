//! Which languages users have chosen: a key-value bucket of JetStream that every instance writes and watches.

use std::time::Duration;

use async_nats::jetstream::{
    kv::{Entry, Operation, Store, UpdateErrorKind},
    stream::Config,
};
use async_trait::async_trait;
use domain::{
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
};
use ports::outbound::{LanguagePreferences, NotStored, StoreUpdate};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tracing::warn;

use super::{super::connection::Connection, bucket, watch::BucketWatch};

/// The bucket.
const BUCKET: &str = "sse-languages";
/// A choice is but a few bytes.
const MAX_VALUE_BYTES: i32 = 1024;
/// Maximum number of choices that wait to be stored, and of updates that wait to be read.
const CAPACITY: usize = 10_000;
/// After a failure, until the bucket is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Who chooses does not wait longer than this for the bus.
const CHOOSING: Duration = Duration::from_secs(5);

/// The bucket, as seen by one instance.
pub struct KeyValuePreferences {
    connection: Connection,
    kept: mpsc::Sender<LanguageChoice>,
    updates: Mutex<mpsc::Receiver<StoreUpdate<LanguageChoice>>>,
}

impl KeyValuePreferences {
    /// The preferences that are kept over `connection`. To be called within the runtime.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        let (kept, choices) = mpsc::channel(CAPACITY);
        let (incoming, updates) = mpsc::channel(CAPACITY);
        connection.spawn(keep(connection.clone(), choices));
        connection.spawn(BucketWatch::new(connection, config(), heard_in, incoming).run());
        Self { connection: connection.clone(), kept, updates: Mutex::new(updates) }
    }

    async fn put(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, async_nats::Error> {
        let store = open(&self.connection).await?;
        self.connection.denials.permitted(BUCKET, self.put_into(&store, user, language, after)).await
    }

    async fn put_into(
        &self,
        store: &Store,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, async_nats::Error> {
        let key = bucket::encode(user.as_str());
        let language = language.map(|tag| tag.to_string());
        let revision = loop {
            let replaced = store.entry(&key).await?;
            let after = after.max(replaced.as_ref().and_then(read).map(|replaced| replaced.chosen_at));
            let value = Value { language: language.clone(), made: None, after };
            match store.update(&key, value.write(), replaced.map_or(0, |entry| entry.revision)).await {
                Ok(revision) => break revision,
                // Another choice was stored meanwhile: this one has to be later.
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(error.into()),
            }
        };
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
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        let stored = tokio::time::timeout(CHOOSING, self.put(user, language, after)).await;
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

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        match self.updates.lock().await.recv().await {
            Some(update) => update,
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
    let store = open(connection).await?;
    let key = bucket::encode(choice.user.as_str());
    let language = choice.language.as_ref().map(ToString::to_string);
    let value = Value { language, made: Some(choice.chosen_at), after: None }.write();
    loop {
        let stored = store.entry(&key).await?;
        let chosen_at = stored.as_ref().and_then(read).map(|stored| stored.chosen_at);
        if chosen_at.is_some_and(|chosen_at| chosen_at >= choice.chosen_at) {
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

fn config() -> Config {
    let limits = bucket::Limits { total_bytes: None, value_bytes: MAX_VALUE_BYTES, age: Duration::ZERO };
    bucket::config(BUCKET, "ocis-sse: which languages users have chosen", limits)
}

async fn open(connection: &Connection) -> Result<Store, async_nats::Error> {
    bucket::open(connection, bucket::client(connection).await?, &config()).await
}

/// What is stored of a user's choice.
#[derive(Deserialize, Serialize)]
struct Value {
    /// The language; none when the choice was taken back.
    language: Option<String>,
    /// When it was made elsewhere on the platform, since 1970; else that is when it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<Duration>,
    /// When the choice was made that it has replaced. It counts as later, whatever the clock of NATS said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Duration>,
}

impl Value {
    fn write(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Returns the choice in an entry.
fn heard_in(entry: &Entry) -> Option<LanguageChoice> {
    let choice = read(entry);
    if choice.is_none() {
        // Its key may name a user. By its revision it can be looked up.
        warn!(revision = entry.revision, "an entry of the bucket {BUCKET} was passed over");
    }
    choice
}

/// None of what was put there by nobody of us.
fn read(entry: &Entry) -> Option<LanguageChoice> {
    let user = UserId::try_new(&bucket::decode(&entry.key)?).ok()?;
    let value = match entry.operation {
        Operation::Put => serde_json::from_slice(&entry.value).ok()?,
        // An administrator has taken it away.
        Operation::Delete | Operation::Purge => Value { language: None, made: None, after: None },
    };
    let language = value.language.map(|language| LanguageTag::try_new(&language)).transpose().ok()?;
    let stored = u64::try_from(entry.created.unix_timestamp_nanos()).ok().map(Duration::from_nanos)?;
    let chosen_at = LanguageChoice::time_after(value.after, value.made.unwrap_or(stored));
    Some(LanguageChoice { user, language, chosen_at })
}
