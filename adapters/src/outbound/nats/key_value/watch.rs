//! Reads a bucket for as long as the process lives, whatever becomes of the bucket and of the connection.

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
        connection::{Connection, LineState},
        permissions::Denied,
    },
    bucket,
};

/// A bucket that could not be read for so long counts as unavailable.
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(5);
/// How often it is checked that the bucket is still the same: so soon it is noticed that it was deleted or recreated. (The client's own
/// watch would wait for ever for a bucket that is gone.)
const CHECK: Duration = Duration::from_secs(5);
/// The time for one answer of NATS.
const ANSWER: Duration = Duration::from_secs(2);
/// Maximum number of reasons that are logged while a bucket is unavailable.
const MAX_REASONS: usize = 5;
/// The pause after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// What is found in an entry, if it is one of ours.
type ReadEntry<T> = Box<dyn Fn(&Entry) -> Option<T> + Send + Sync>;

/// Reads a bucket and tells what it holds and what changes. It begins anew whenever the connection was lost or the bucket is another one.
pub(super) struct BucketWatch<T> {
    connection: Connection,
    config: Config,
    read: ReadEntry<T>,
    updates: mpsc::Sender<StoreUpdate<T>>,
    /// What the bucket is written with, while it is there.
    client: watch::Sender<Option<Client>>,
    /// When the bucket was made that was read last.
    created: Option<OffsetDateTime>,
    /// The reasons that were logged since the bucket was last available.
    reasons: Vec<String>,
}

/// A bucket whose entries have all been reported.
struct Current {
    store: Store,
    entries: Watch,
    /// The connection with which it was read.
    generation: u64,
    /// Ready when NATS denies something about it, such as to write it.
    denied: Pin<Box<dyn Future<Output = Denied> + Send>>,
}

impl<T: Send> BucketWatch<T> {
    /// Will watch the bucket of this `config`, which is made when it is missing, and send what `read` finds in its entries to `updates`.
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

    /// What the bucket is written with; none while it is not there.
    pub(super) fn client(&self) -> watch::Receiver<Option<Client>> {
        self.client.subscribe()
    }

    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        // Until NATS is there for the first time nobody waits for the bucket alone.
        bucket::client(&self.connection).await.ok();
        while !self.updates.is_closed() {
            let current = self.begin().await;
            self.updates.send(StoreUpdate::UpToDate).await.ok();
            if !std::mem::take(&mut self.reasons).is_empty() {
                info!(bucket = self.config.name, "bucket available again");
            }
            let error = self.follow(current).await;
            self.client.send_replace(None);
            self.failed(&error);
        }
    }

    /// Reads what the bucket holds, and says so when that takes too long.
    async fn begin(&mut self) -> Current {
        let updates = self.updates.clone();
        let mut begun = pin!(self.begin_at_last());
        if let Ok(current) = timeout(UNAVAILABLE_AFTER, &mut begun).await {
            return current;
        }
        updates.send(StoreUpdate::Unavailable).await.ok();
        begun.await
    }

    async fn begin_at_last(&mut self) -> Current {
        loop {
            match self.try_begin().await {
                Ok(current) => return current,
                Err(error) => self.failed(&error),
            }
            sleep(RETRY).await;
        }
    }

    async fn try_begin(&mut self) -> Result<Current, async_nats::Error> {
        let client = bucket::client(&self.connection).await?;
        let generation = self.connection.state.borrow().generation;
        let opened = Box::pin(bucket::open(&self.connection, client.clone(), &self.config));
        let store = in_time(opened).await?;
        let info = store.stream.cached_info();
        let (created, is_empty) = (info.created, info.state.messages == 0);
        if self.created.replace(created).is_some_and(|known| known != created) {
            self.updates.send(StoreUpdate::Recreated).await.ok();
        }
        let watch = self.connection.denials.permitted(&self.config.name, store.watch_with_history(">"));
        let mut entries = in_time(Box::pin(watch)).await?;
        // Before anybody writes it.
        let denied = Box::pin(self.connection.denials.denied(&store.name));
        self.client.send_replace(Some(client));
        let mut is_current = is_empty;
        while !is_current {
            let entry = in_time(async { entries.next().await.ok_or("the watch has ended") }).await??;
            is_current = entry.seen_current;
            self.report(&entry).await;
        }
        Ok(Current { store, entries, generation, denied })
    }

    /// Tells what changes, and returns why that ended.
    async fn follow(&self, current: Current) -> async_nats::Error {
        let Current { store, mut entries, generation, mut denied } = current;
        let mut line = self.connection.state.clone();
        let mut is_denied = false;
        let mut checks = interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Only others' entries are known then.
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
                _ = checks.tick() => match in_time(store.stream.get_info()).await {
                    Ok(info) if Some(info.created) == self.created => {}
                    Ok(_) => return "the bucket was recreated".into(),
                    Err(error) => return error,
                },
                // The connection was lost, or is already another one.
                () = lost(&mut line, generation) => {
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
    fn failed(&mut self, error: &async_nats::Error) {
        let reason = error.to_string();
        if !self.reasons.contains(&reason) && self.reasons.len() < MAX_REASONS {
            warn!(bucket = self.config.name, reason, "bucket unavailable, trying again");
            self.reasons.push(reason);
        }
    }
}

/// Waits until the connection of this `generation` is lost.
async fn lost(line: &mut watch::Receiver<LineState>, generation: u64) {
    line.wait_for(|state| !state.connected || state.generation != generation).await.ok();
}

/// The answer, if it comes in time.
async fn in_time<T, E: Into<async_nats::Error>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, async_nats::Error> {
    timeout(ANSWER, answer).await.map_err(|_| "NATS does not answer")?.map_err(Into::into)
}
