//! The users' language choices: a bucket that every instance writes and watches.

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

/// The name of the bucket.
pub(in crate::outbound::nats) const PREFERENCES: &str = "sse-languages";
/// Maximum size of an entry, in bytes. A choice has about 100.
const MAX_VALUE_BYTES: i32 = 1024;
/// Maximum number of choices that wait to be stored, and of updates that wait to be read.
const CAPACITY: usize = 10_000;
/// Delay before a choice that could not be stored is retried.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Timeout for storing a choice while its user waits.
const CHOOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The language choices in NATS, as one instance reads and writes them.
pub struct KeyValuePreferences {
    connection: Connection,
    /// Choices made elsewhere, which are stored in the background.
    choices: mpsc::Sender<LanguageChoice>,
    updates: Mutex<mpsc::Receiver<StoreUpdate<LanguageChoice>>>,
}

impl KeyValuePreferences {
    /// Creates the preferences of one instance.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        let (choices, receiver) = mpsc::channel(CAPACITY);
        let (update_sender, updates) = mpsc::channel(CAPACITY);
        connection.spawn(store_all(connection.clone(), receiver));
        connection.spawn(BucketWatch::new(connection, config(), read_or_warn, update_sender).run());
        Self { connection: connection.clone(), choices, updates: Mutex::new(updates) }
    }

    async fn put(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, async_nats::Error> {
        let store = open(&self.connection).await?;
        self.connection.denials.unless_denied(PREFERENCES, self.put_into(&store, user, language, after)).await
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
            let value = Value { language: language.clone(), chosen_at: None, after };
            match store.update(&key, value.write(), replaced.map_or(0, |entry| entry.revision)).await {
                Ok(revision) => break revision,
                // Another choice was stored meanwhile. This choice has to be later, so it is retried.
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(error.into()),
            }
        };
        loop {
            // Another server of a cluster may not have the entry yet.
            let entry = store.entry(&key).await?;
            if let Some(entry) = entry.filter(|entry| entry.revision >= revision) {
                return Ok(read(&entry).ok_or("the stored choice is unreadable")?);
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
        let stored = tokio::time::timeout(CHOOSE_TIMEOUT, self.put(user, language, after)).await;
        let stored = stored.unwrap_or_else(|_| Err("NATS does not reply".into()));
        stored.map_err(|error| {
            warn!(%error, "cannot store a language choice");
            NotStored
        })
    }

    fn keep(&self, choice: LanguageChoice) {
        if self.choices.try_send(choice).is_err() {
            warn!("too many language choices wait to be stored, dropping one");
        }
    }

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        match self.updates.lock().await.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }
}

/// Stores choices one after the other. Each is retried until it is stored.
async fn store_all(connection: Connection, mut choices: mpsc::Receiver<LanguageChoice>) {
    while let Some(choice) = choices.recv().await {
        while let Err(error) = store(&connection, &choice).await {
            warn!(%error, "cannot store a language choice, trying again");
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

/// Stores a choice, unless the bucket has a later one.
async fn store(connection: &Connection, choice: &LanguageChoice) -> Result<(), async_nats::Error> {
    let store = open(connection).await?;
    let key = bucket::encode(choice.user.as_str());
    let language = choice.language.as_ref().map(ToString::to_string);
    let value = Value { language, chosen_at: Some(choice.chosen_at), after: None }.write();
    loop {
        let stored = store.entry(&key).await?;
        let chosen_at = stored.as_ref().and_then(read).map(|stored| stored.chosen_at);
        if chosen_at.is_some_and(|chosen_at| chosen_at >= choice.chosen_at) {
            return Ok(());
        }
        let revision = stored.map_or(0, |stored| stored.revision);
        match store.update(&key, value.clone(), revision).await {
            Ok(_) => return Ok(()),
            // Another choice was stored meanwhile, which may be later.
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn config() -> Config {
    let limits = bucket::Limits { total_bytes: None, value_bytes: MAX_VALUE_BYTES, age: Duration::ZERO };
    bucket::config(PREFERENCES, "ocis-sse: language choices of users", limits)
}

async fn open(connection: &Connection) -> Result<Store, async_nats::Error> {
    bucket::open(connection, bucket::client(connection).await?, &config()).await
}

/// The value of an entry, in JSON. The key is the user's id.
#[derive(Deserialize, Serialize)]
struct Value {
    /// The language. None if the user has withdrawn the choice.
    language: Option<String>,
    /// The time of a choice that was made elsewhere on the platform, since 1970. Otherwise the time at which NATS stored the entry counts.
    #[serde(rename = "made", skip_serializing_if = "Option::is_none")]
    chosen_at: Option<Duration>,
    /// The time of the choice that this one has replaced. This choice counts as later, even if the clock of NATS was set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Duration>,
}

impl Value {
    fn write(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Decodes a choice, or logs that it is unreadable.
fn read_or_warn(entry: &Entry) -> Option<LanguageChoice> {
    let choice = read(entry);
    if choice.is_none() {
        // The key may name a user. An administrator can find the entry by its revision.
        warn!(revision = entry.revision, "unreadable language choice skipped");
    }
    choice
}

/// Decodes a choice. Returns none if the entry was not written by this service.
fn read(entry: &Entry) -> Option<LanguageChoice> {
    let user = UserId::try_new(&bucket::decode(&entry.key)?).ok()?;
    let value = match entry.operation {
        Operation::Put => serde_json::from_slice(&entry.value).ok()?,
        // An administrator has deleted the entry.
        Operation::Delete | Operation::Purge => Value { language: None, chosen_at: None, after: None },
    };
    let language = value.language.map(|language| LanguageTag::try_new(&language)).transpose().ok()?;
    let stored = u64::try_from(entry.created.unix_timestamp_nanos()).ok().map(Duration::from_nanos)?;
    let chosen_at = LanguageChoice::time_after(value.after, value.chosen_at.unwrap_or(stored));
    Some(LanguageChoice { user, language, chosen_at })
}
