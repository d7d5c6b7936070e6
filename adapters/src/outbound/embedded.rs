//! An event bus and a store in memory, for the demonstration and for tests without NATS.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::{
    content::Content,
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
    notification::{EventId, EventType, Incarnation, Notification, Recipients},
};
use parking_lot::Mutex;
use ports::outbound::{
    Clock, EventSource, LanguagePreferences, MessageMetadata, NotStored, Publish, SourceEvent, StoreUpdate,
};
use tokio::sync::{mpsc, watch};

/// Maximum number of events that wait to be read. Publishers then wait.
const CAPACITY: usize = 256;

/// The reading end of the bus.
pub struct EmbeddedSource {
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    stage: Stage,
    events: mpsc::Receiver<Published>,
}

/// The progress of a source.
enum Stage {
    New,
    /// The number of recent events, published before the first read, that are still to be read.
    Recent(usize),
    Reading,
}

/// An event that waits to be read.
struct Published {
    notification: Notification,
    published_at: Instant,
}

/// The publishing end of the bus.
pub struct EmbeddedPublisher {
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    sequence: Mutex<u64>,
    events: mpsc::Sender<Published>,
}

/// Creates a bus. `incarnation` distinguishes its events from those of an earlier bus. `clock` measures the age of events.
#[must_use]
pub fn bus(incarnation: Incarnation, clock: Arc<dyn Clock>) -> (EmbeddedPublisher, EmbeddedSource) {
    let (sender, events) = mpsc::channel(CAPACITY);
    let publisher =
        EmbeddedPublisher { incarnation, clock: clock.clone(), sequence: Mutex::new(0), events: sender };
    (publisher, EmbeddedSource { incarnation, clock, stage: Stage::New, events })
}

#[async_trait]
impl EventSource for EmbeddedSource {
    async fn next(&mut self) -> SourceEvent {
        match self.stage {
            Stage::New => {
                self.stage = Stage::Recent(self.events.len());
                let after = EventId { incarnation: self.incarnation, sequence: 0 };
                return SourceEvent::Resync { after };
            }
            Stage::Recent(0) => {
                self.stage = Stage::Reading;
                return SourceEvent::Subscribed;
            }
            Stage::Recent(events) => self.stage = Stage::Recent(events - 1),
            Stage::Reading => {}
        }
        match self.events.recv().await {
            Some(Published { notification, published_at }) => {
                let age = self.clock.now().saturating_duration_since(published_at);
                SourceEvent::Notification { notification, age, metadata: MessageMetadata::default() }
            }
            // Without a publisher no event follows, and a source never ends.
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        self.events.close();
    }
}

#[async_trait]
impl Publish for EmbeddedPublisher {
    async fn publish(&self, recipients: Vec<UserId>, event_type: EventType, content: Content) {
        let Ok(permit) = self.events.reserve().await else { return };
        // The lock is held while sending, so that events are sent in the order of their numbers.
        let mut sequence = self.sequence.lock();
        *sequence += 1;
        let id = EventId { incarnation: self.incarnation, sequence: *sequence };
        let recipients = Recipients::Users(recipients);
        let notification = Notification { id, recipients, event_type, content, session_id: None };
        permit.send(Published { notification, published_at: self.clock.now() });
    }
}

/// The users' language choices, as one instance reads and writes them. They are lost when the process ends.
pub struct EmbeddedPreferences {
    store: EmbeddedStore,
    clock: Arc<dyn Clock>,
    /// The last revision that was returned, and whether `UpToDate` was returned.
    returned: Mutex<(u64, bool)>,
}

/// The store of one or more [`EmbeddedPreferences`].
#[derive(Clone, Default)]
pub struct EmbeddedStore(Arc<watch::Sender<Choices>>);

#[derive(Default)]
struct Choices {
    /// The number of stored choices.
    revision: u64,
    /// The latest choice of each user, with its revision.
    latest: HashMap<UserId, (u64, LanguageChoice)>,
}

impl Choices {
    fn chosen_at(&self, user: &UserId) -> Option<Duration> {
        self.latest.get(user).map(|(_, choice)| choice.chosen_at)
    }

    fn put(&mut self, choice: LanguageChoice) {
        self.revision += 1;
        self.latest.insert(choice.user.clone(), (self.revision, choice));
    }
}

impl EmbeddedPreferences {
    /// Creates the preferences of one instance over `store`. `clock` is the time of choices.
    #[must_use]
    pub fn new(store: EmbeddedStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, returned: Mutex::default() }
    }

    /// Returns the next update, if there is one.
    fn next(&self, choices: &Choices) -> Option<StoreUpdate<LanguageChoice>> {
        let (position, is_up_to_date) = &mut *self.returned.lock();
        let new = choices.latest.values().filter(|(revision, _)| revision > position);
        if let Some((revision, choice)) = new.min_by_key(|(revision, _)| revision) {
            *position = *revision;
            return Some(StoreUpdate::Entry(choice.clone()));
        }
        (!std::mem::replace(is_up_to_date, true)).then_some(StoreUpdate::UpToDate)
    }
}

#[async_trait]
impl LanguagePreferences for EmbeddedPreferences {
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        let mut choice = LanguageChoice { user, language, chosen_at: self.clock.unix_time() };
        self.store.0.send_modify(|choices| {
            choice.chosen_at =
                LanguageChoice::time_after(after.max(choices.chosen_at(&choice.user)), choice.chosen_at);
            choices.put(choice.clone());
        });
        Ok(choice)
    }

    fn keep(&self, choice: LanguageChoice) {
        self.store.0.send_if_modified(|choices| {
            let is_later =
                choices.chosen_at(&choice.user).is_none_or(|chosen_at| choice.chosen_at > chosen_at);
            if is_later {
                choices.put(choice);
            }
            is_later
        });
    }

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        let mut changes = self.store.0.subscribe();
        loop {
            let update = self.next(&changes.borrow_and_update());
            if let Some(update) = update {
                return update;
            }
            changes.changed().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ports::{
        obligations::{
            self,
            event_source::{self, EventBus, Message},
        },
        outbound::MockClock,
    };

    use super::*;

    #[tokio::test]
    async fn preferences_meet_the_obligations_of_their_port() {
        let store = EmbeddedStore::default();
        // The clock stands still.
        let mut clock = MockClock::new();
        clock.expect_unix_time().return_const(Duration::from_secs(1));
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let instance = async || EmbeddedPreferences::new(store.clone(), clock.clone());
        let tested = obligations::language_preferences(instance);
        tokio::time::timeout(Duration::from_mins(1), tested).await.expect("in time");
    }

    /// A bus whose only source can be taken once.
    struct MemoryBus {
        publisher: EmbeddedPublisher,
        source: Mutex<Option<EmbeddedSource>>,
        sequence: AtomicU64,
    }

    const INCARNATION: Incarnation = Incarnation::of(9);

    #[expect(clippy::disallowed_methods, reason = "this is the paused clock of the runtime")]
    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[async_trait(?Send)]
    impl EventBus for MemoryBus {
        async fn source(&self) -> Box<dyn EventSource> {
            Box::new(self.source.lock().take().expect("taken once"))
        }

        async fn publish(&self, message: Message<'_>) -> Option<EventId> {
            let Message::Event(content) = message else { return None };
            let user = UserId::try_new("a").expect("a user id");
            let event_type = EventType::try_new("t").expect("an event type");
            self.publisher.publish(vec![user], event_type, content.into()).await;
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
            Some(EventId { incarnation: INCARNATION, sequence })
        }

        fn now(&self) -> Instant {
            now()
        }

        async fn let_time_pass(&self) {
            tokio::time::advance(Duration::from_secs(7)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn source_returns_everything_in_order() {
        let mut clock = MockClock::new();
        clock.expect_now().returning(now);
        let (publisher, source) = bus(INCARNATION, Arc::new(clock));
        let bus = MemoryBus { publisher, source: Some(source).into(), sequence: AtomicU64::new(0) };
        let tested = event_source::returns_everything_in_order(&bus);
        tokio::time::timeout(Duration::from_mins(1), tested).await.expect("in time");
    }
}
