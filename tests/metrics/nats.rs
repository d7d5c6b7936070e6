//! Metrics of the availability of NATS and of its buckets.

use async_trait::async_trait;
use domain::{bookmark::Bookmark, language::LanguageChoice};
use ports::outbound::{BookmarkExchange, LanguagePreferences, NotStored, StoreUpdate};
use tokio::sync::mpsc;

use super::*;

#[tokio::test(start_paused = true)]
async fn shared_state_gauges_are_current() {
    let mut service = Service::before_nats(POLICY);
    service.changes(NOTHING);
    service.relay.handle(SourceEvent::Subscribed);
    service.changes(["sse_bus_connected 1"]);
    service.relay.handle(SourceEvent::Interrupted { reason: "away".into() });
    service.changes(["sse_bus_connected 0"]);

    let unavailable =
        |bucket: &str, value: u8| format!("sse_bucket_unavailable{{bucket=\"{bucket}\"}} {value}");
    let (bookmarks, bucket) = FakeBucket::new();
    tokio::spawn(service.subscriptions.clone().follow(bucket));
    let (languages, preferences) = FakeBucket::new();
    tokio::spawn(LanguageChoices { subscriptions: service.subscriptions.clone(), preferences }.follow());
    bookmarks.send(StoreUpdate::Unavailable).expect("received");
    run_until_idle().await;
    service.changes([unavailable("sse-resume", 1)]);
    languages.send(StoreUpdate::Unavailable).expect("received");
    bookmarks.send(StoreUpdate::UpToDate).expect("received");
    run_until_idle().await;
    service.changes([unavailable("sse-languages", 1), unavailable("sse-resume", 0)]);
    languages.send(StoreUpdate::UpToDate).expect("received");
    run_until_idle().await;
    service.changes([unavailable("sse-languages", 0)]);
}

/// A bucket that returns the updates that a test sends.
struct FakeBucket<T>(tokio::sync::Mutex<mpsc::UnboundedReceiver<StoreUpdate<T>>>);

impl<T> FakeBucket<T> {
    fn new() -> (mpsc::UnboundedSender<StoreUpdate<T>>, Arc<Self>) {
        let (sender, updates) = mpsc::unbounded_channel();
        (sender, Arc::new(Self(updates.into())))
    }

    async fn next(&self) -> StoreUpdate<T> {
        match self.0.lock().await.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl BookmarkExchange for FakeBucket<Bookmark> {
    fn publish(&self, _: Bookmark) {}

    async fn next_update(&self) -> StoreUpdate<Bookmark> {
        self.next().await
    }

    async fn close(&self) {}
}

#[async_trait]
impl LanguagePreferences for FakeBucket<LanguageChoice> {
    async fn choose(
        &self,
        _: UserId,
        _: Option<LanguageTag>,
        _: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        Err(NotStored)
    }

    fn keep(&self, _: LanguageChoice) {}

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        self.next().await
    }
}
