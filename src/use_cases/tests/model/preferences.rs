//! The language choices, as one instance sees them.

use std::sync::atomic::{AtomicBool, Ordering};

use ports::outbound::{LanguagePreferences, StoreUpdate};

use super::{nats::LanguageBucket, *};

/// The bucket of language choices, as one instance reads and writes it.
pub(super) struct FakePreferences {
    pub(super) bucket: Arc<Mutex<LanguageBucket>>,
    pub(super) is_connected: AtomicBool,
    updates: tokio::sync::Mutex<mpsc::UnboundedReceiver<StoreUpdate<LanguageChoice>>>,
}

impl FakePreferences {
    /// Returns the preferences in `bucket`, not connected yet, and the sender of their updates.
    pub(super) fn of(
        bucket: Arc<Mutex<LanguageBucket>>,
    ) -> (Self, mpsc::UnboundedSender<StoreUpdate<LanguageChoice>>) {
        let (sender, updates) = mpsc::unbounded_channel();
        (Self { bucket, is_connected: AtomicBool::new(false), updates: updates.into() }, sender)
    }
}

#[async_trait]
impl LanguagePreferences for FakePreferences {
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        if !self.is_connected.load(Ordering::Relaxed) {
            return Err(NotStored);
        }
        let mut bucket = self.bucket.lock();
        let chosen_at = LanguageChoice::time_after(after.max(bucket.chosen_at(&user)), bucket.now());
        let choice = LanguageChoice { user, language, chosen_at };
        bucket.store(choice.clone());
        Ok(choice)
    }

    fn keep(&self, choice: LanguageChoice) {
        self.bucket.lock().store(choice);
    }

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        match self.updates.lock().await.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }
}
