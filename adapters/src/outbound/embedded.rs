//! A bus and its store in memory, for trying the service out and for tests that need no broker.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    content::Content,
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
    notification::{EventId, EventType, Incarnation, Notification, Recipients},
};
use parking_lot::Mutex;
use ports::outbound::{Clock, EventSource, Heard, LanguagePreferences, NotStored, Publish, SourceEvent};
use tokio::sync::{mpsc, watch};

/// How many events wait for the reader before publishers do.
const CAPACITY: usize = 256;

/// The end of the bus that is read.
pub struct EmbeddedSource {
    /// What is said before the first event.
    greeting: Vec<SourceEvent>,
    events: mpsc::Receiver<Notification>,
}

/// The end of the bus that is published on.
pub struct EmbeddedPublisher {
    incarnation: Incarnation,
    sequence: Mutex<u64>,
    events: mpsc::Sender<Notification>,
}

/// A new bus. `incarnation` tells its events from those of an earlier one.
#[must_use]
pub fn bus(incarnation: Incarnation) -> (EmbeddedPublisher, EmbeddedSource) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let publisher = EmbeddedPublisher { incarnation, sequence: Mutex::new(0), events: sender };
    let after = EventId { incarnation, sequence: 0 };
    let greeting = vec![SourceEvent::Subscribed, SourceEvent::Begins { after }];
    (publisher, EmbeddedSource { greeting, events: receiver })
}

#[async_trait]
impl EventSource for EmbeddedSource {
    async fn next(&mut self) -> SourceEvent {
        if let Some(event) = self.greeting.pop() {
            return event;
        }
        match self.events.recv().await {
            Some(notification) => {
                SourceEvent::Notification { notification, age: Duration::ZERO, trace_parent: Box::default() }
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
        place.send(Notification { id, recipients, event_type, content });
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
    fn made(&self, user: &UserId) -> Option<Duration> {
        self.latest.get(user).map(|(_, choice)| choice.made)
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
    fn next(&self, choices: &Choices) -> Option<Heard<LanguageChoice>> {
        let (position, is_up_to_date) = &mut *self.heard.lock();
        let new = choices.latest.values().filter(|(revision, _)| revision > position);
        if let Some((revision, choice)) = new.min_by_key(|(revision, _)| revision) {
            *position = *revision;
            return Some(Heard::Entry(choice.clone()));
        }
        (!std::mem::replace(is_up_to_date, true)).then_some(Heard::UpToDate)
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
        let mut choice = LanguageChoice { user, language, made: self.clock.since_1970() };
        self.store.0.send_modify(|choices| {
            choice.made = LanguageChoice::time_after(after.max(choices.made(&choice.user)), choice.made);
            choices.put(choice.clone());
        });
        Ok(choice)
    }

    fn keep(&self, choice: LanguageChoice) {
        self.store.0.send_if_modified(|choices| {
            let is_later = choices.made(&choice.user).is_none_or(|made| choice.made > made);
            if is_later {
                choices.put(choice);
            }
            is_later
        });
    }

    async fn hear(&self) -> Heard<LanguageChoice> {
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
    use ports::{obligations, outbound::MockClock};

    use super::*;

    #[tokio::test]
    async fn preferences_meet_the_obligations_of_their_port() {
        let store = EmbeddedStore::default();
        // Its clock stands still.
        let mut clock = MockClock::new();
        clock.expect_since_1970().return_const(Duration::from_secs(1));
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let instance = async || EmbeddedPreferences::new(store.clone(), clock.clone());
        let tested = obligations::language_preferences(instance);
        tokio::time::timeout(Duration::from_mins(1), tested).await.expect("in time");
    }

    #[tokio::test]
    async fn what_is_published_is_read_in_order() {
        let (publisher, mut source) = bus(Incarnation::of(9));
        let after = EventId { incarnation: Incarnation::of(9), sequence: 0 };
        assert_eq!(source.next().await, SourceEvent::Begins { after });
        assert_eq!(source.next().await, SourceEvent::Subscribed);
        for content in ["a", "b"] {
            let event_type = EventType::try_new("t").unwrap();
            publisher.publish(Vec::new(), event_type, content.into()).await;
        }
        for (sequence, expected) in (1..).zip(["a", "b"]) {
            let SourceEvent::Notification { notification, .. } = source.next().await else {
                panic!("a notification")
            };
            assert_eq!(notification.content, expected.into());
            assert_eq!(notification.id, EventId { incarnation: Incarnation::of(9), sequence });
        }
    }
}
