//! A reader of a bucket. It survives the loss of the bucket and of the connection.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use async_nats::{
    Client,
    jetstream::{
        kv::{Entry, Store, Watch},
        stream::Config,
    },
};
use futures_util::StreamExt as _;
use ports::outbound::StoreUpdate;
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    super::{
        connection::{Connection, ConnectionState},
        permissions::Denied,
    },
    bucket::{self, CHECK_INTERVAL, REPLY_TIMEOUT},
};

/// Time without a successful read after which a bucket is reported as unavailable.
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(5);
/// Maximum number of reasons that are logged while a bucket is unavailable.
const MAX_REASONS: usize = 5;
/// Delay between attempts to read the bucket.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Decodes an entry. Returns none if the entry is not for this instance.
type ReadEntry<T> = Box<dyn Fn(&Entry) -> Option<T> + Send + Sync>;

/// A reader of a bucket, which reports its entries and their changes. It reads the bucket again whenever the connection was lost or the
/// bucket was recreated. (The client's own watch would wait forever for a deleted bucket.)
pub(super) struct BucketWatch<T> {
    connection: Connection,
    config: Config,
    read: ReadEntry<T>,
    updates: mpsc::Sender<StoreUpdate<T>>,
    /// The client for writing to the bucket, while the bucket is available.
    client: watch::Sender<Option<Client>>,
    /// The creation time of the bucket that was read last.
    created: Option<OffsetDateTime>,
    /// The reasons that were logged since the bucket was last available.
    reasons: Vec<String>,
}

/// A bucket whose entries were all reported.
struct LoadedBucket {
    store: Store,
    entries: Watch,
    /// The connection on which it was read.
    generation: u64,
    /// Ready when NATS denies a request about it, such as a write.
    denied: Pin<Box<dyn Future<Output = Denied> + Send>>,
}

impl<T: Send> BucketWatch<T> {
    /// Creates a watch of the bucket with this `config`, which is created if it is missing. The watch decodes entries with `read` and sends
    /// them to `updates`.
    pub(super) fn new(
        connection: &Connection,
        config: Config,
        read: impl Fn(&Entry) -> Option<T> + Send + Sync + 'static,
        updates: mpsc::Sender<StoreUpdate<T>>,
    ) -> Self {
        Self {
            connection: connection.clone(),
            config,
            read: Box::new(read),
            updates,
            client: watch::Sender::new(None),
            created: None,
            reasons: Vec::new(),
        }
    }

    /// Returns the client for writing to the bucket. It is none while the bucket is not available.
    pub(super) fn client(&self) -> watch::Receiver<Option<Client>> {
        self.client.subscribe()
    }

    /// Runs until the receiver of the updates is dropped.
    pub(super) async fn run(mut self) {
        // The time until the bucket is unavailable starts with the first connection. Before it, the service is not ready anyway.
        bucket::client(&self.connection).await.ok();
        while !self.updates.is_closed() {
            let bucket = self.load().await;
            self.updates.send(StoreUpdate::UpToDate).await.ok();
            if !std::mem::take(&mut self.reasons).is_empty() {
                info!(bucket = self.config.name, "bucket available again");
            }
            let error = self.follow(bucket).await;
            self.client.send_replace(None);
            self.log_failure(&error);
        }
    }

    /// Reports the entries of the bucket. If that takes longer than [`UNAVAILABLE_AFTER`], reports that it is unavailable meanwhile.
    async fn load(&mut self) -> LoadedBucket {
        let updates = self.updates.clone();
        let mut loading = pin!(self.load_with_retries());
        if let Ok(bucket) = timeout(UNAVAILABLE_AFTER, &mut loading).await {
            return bucket;
        }
        updates.send(StoreUpdate::Unavailable).await.ok();
        loading.await
    }

    async fn load_with_retries(&mut self) -> LoadedBucket {
        loop {
            match self.try_load().await {
                Ok(bucket) => return bucket,
                Err(error) => self.log_failure(&error),
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn try_load(&mut self) -> Result<LoadedBucket, async_nats::Error> {
        let client = bucket::client(&self.connection).await?;
        let generation = self.connection.state.borrow().generation;
        let opened = Box::pin(bucket::open(&self.connection, client.clone(), &self.config));
        let store = within_timeout(opened).await?;
        let info = store.stream.cached_info();
        let (created, is_empty) = (info.created, info.state.messages == 0);
        if self.created.replace(created).is_some_and(|known| known != created) {
            self.updates.send(StoreUpdate::Recreated).await.ok();
        }
        let watch = self.connection.denials.unless_denied(&self.config.name, store.watch_with_history(">"));
        let mut entries = within_timeout(Box::pin(watch)).await?;
        // Subscribed before the bucket is written, so that no denial is missed.
        let denied = Box::pin(self.connection.denials.denied(&store.name));
        self.client.send_replace(Some(client));
        let mut is_current = is_empty;
        while !is_current {
            let entry = within_timeout(async { entries.next().await.ok_or("the watch has ended") }).await??;
            is_current = entry.seen_current;
            self.report(&entry).await;
        }
        Ok(LoadedBucket { store, entries, generation, denied })
    }

    /// Reports changes of entries until the bucket or the connection is lost. Returns the reason.
    async fn follow(&self, bucket: LoadedBucket) -> async_nats::Error {
        let LoadedBucket { store, mut entries, generation, mut denied } = bucket;
        let mut state = self.connection.state.clone();
        let mut is_denied = false;
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The bucket cannot be written, but it is still read.
                denied = &mut denied, if !is_denied => {
                    is_denied = true;
                    warn!(bucket = self.config.name, %denied, "bucket cannot be written");
                }
                // An entry has changed.
                entry = entries.next() => match entry {
                    Some(Ok(entry)) => self.report(&entry).await,
                    Some(Err(error)) => return error.into(),
                    None => return "the watch has ended".into(),
                },
                // The bucket may have been deleted, or recreated.
                _ = checks.tick() => match within_timeout(store.stream.get_info()).await {
                    Ok(info) if Some(info.created) == self.created => {}
                    Ok(_) => return "the bucket was recreated".into(),
                    Err(error) => return error,
                },
                // The connection was lost, or has already been replaced.
                () = disconnected(&mut state, generation) => {
                    return "the connection to NATS was lost".into();
                }
            }
        }
    }

    async fn report(&self, entry: &Entry) {
        if let Some(value) = (self.read)(entry) {
            self.updates.send(StoreUpdate::Entry(value)).await.ok();
        }
    }

    /// Logs each reason once.
    fn log_failure(&mut self, error: &async_nats::Error) {
        let reason = error.to_string();
        if !self.reasons.contains(&reason) && self.reasons.len() < MAX_REASONS {
            warn!(bucket = self.config.name, reason, "bucket unavailable, trying again");
            self.reasons.push(reason);
        }
    }
}

/// Waits until the connection of this `generation` is lost.
async fn disconnected(state: &mut watch::Receiver<ConnectionState>, generation: u64) {
    state.wait_for(|state| !state.connected || state.generation != generation).await.ok();
}

/// Waits for a reply for at most [`REPLY_TIMEOUT`].
async fn within_timeout<T, E: Into<async_nats::Error>>(
    reply: impl Future<Output = Result<T, E>>,
) -> Result<T, async_nats::Error> {
    timeout(REPLY_TIMEOUT, reply).await.map_err(|_| "NATS does not reply")?.map_err(Into::into)
}
