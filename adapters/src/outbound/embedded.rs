//! A bus and its store in memory, for trying the service out and for tests that need no broker.

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

/// How many events wait for the reader before publishers do.
const CAPACITY: usize = 256;

/// The end of the bus that is read.
pub struct EmbeddedSource {
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    stage: Stage,
    events: mpsc::Receiver<Published>,
}

/// How far a source has come.
enum Stage {
    New,
    /// So many events were published before it began to read, and are still to be read.
    Filling(usize),
    Reading,
}

/// An event that waits to be read.
struct Published {
    notification: Notification,
    since: Instant,
}

/// The end of the bus that is published on.
pub struct EmbeddedPublisher {
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    sequence: Mutex<u64>,
    events: mpsc::Sender<Published>,
}

/// A new bus. `incarnation` tells its events from those of an earlier one, and `clock` for how long an event has waited.
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
                self.stage = Stage::Filling(self.events.len());
                let after = EventId { incarnation: self.incarnation, sequence: 0 };
                return SourceEvent::Resync { after };
            }
            Stage::Filling(0) => {
                self.stage = Stage::Reading;
                return SourceEvent::Subscribed;
            }
            Stage::Filling(events) => self.stage = Stage::Filling(events - 1),
            Stage::Reading => {}
        }
        match self.events.recv().await {
            Some(Published { notification, since }) => {
                let age = self.clock.now().saturating_duration_since(since);
                SourceEvent::Notification { notification, age, metadata: MessageMetadata::default() }
            }
            // Without a publisher nothing will ever come, and a source never ends.
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
        let Ok(place) = self.events.reserve().await else { return };
        // Numbered and sent in one step: the order of the numbers is the order of the bus.
        let mut sequence = self.sequence.lock();
        *sequence += 1;
        let id = EventId { incarnation: self.incarnation, sequence: *sequence };
        let recipients = Recipients::Users(recipients);
        let notification = Notification { id, recipients, event_type, content };
        place.send(Published { notification, since: self.clock.now() });
    }
}

/// Which languages users have chosen, for as long as the process lives.
pub struct EmbeddedPreferences {
    store: EmbeddedStore,
    clock: Arc<dyn Clock>,
    /// Up to which revision the choices have been heard, and whether it was said that these are all.
    heard: Mutex<(u64, bool)>,
}

/// Where choices are kept, by one or more [`EmbeddedPreferences`].
#[derive(Clone, Default)]
pub struct EmbeddedStore(Arc<watch::Sender<Choices>>);

#[derive(Default)]
struct Choices {
    /// Counts the choices.
    revision: u64,
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
    /// What is chosen is kept in `store`. `clock` tells when somebody does.
    #[must_use]
    pub fn new(store: EmbeddedStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, heard: Mutex::default() }
    }

    /// What there is to hear in `choices`, if anything.
    fn next(&self, choices: &Choices) -> Option<StoreUpdate<LanguageChoice>> {
        let (position, is_up_to_date) = &mut *self.heard.lock();
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
            let heard = self.next(&changes.borrow_and_update());
            if let Some(heard) = heard {
                return heard;
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
        // Its clock stands still.
        let mut clock = MockClock::new();
        clock.expect_unix_time().return_const(Duration::from_secs(1));
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let instance = async || EmbeddedPreferences::new(store.clone(), clock.clone());
        let tested = obligations::language_preferences(instance);
        tokio::time::timeout(Duration::from_mins(1), tested).await.expect("in time");
    }

    /// The bus, whose one source is taken once.
    struct MemoryBus {
        publisher: EmbeddedPublisher,
        source: Mutex<Option<EmbeddedSource>>,
        sequence: AtomicU64,
    }

    const INCARNATION: Incarnation = Incarnation::of(9);

    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is asked")]
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
    async fn source_brings_everything_in_order() {
        let mut clock = MockClock::new();
        clock.expect_now().returning(now);
        let (publisher, source) = bus(INCARNATION, Arc::new(clock));
        let bus = MemoryBus { publisher, source: Some(source).into(), sequence: AtomicU64::new(0) };
        let tested = event_source::returns_everything_in_order(&bus);
        tokio::time::timeout(Duration::from_mins(1), tested).await.expect("in time");
    }
}
