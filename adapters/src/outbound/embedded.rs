//! A bus and its store in memory, for trying the service out and for tests that need no broker.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    content::Content,
    identity::UserId,
    language::{LanguageChoice, LanguageTag},
    notification::{EventId, EventType, Incarnation, Notification},
};
use parking_lot::Mutex;
use ports::outbound::{
    Clock, EventSource, HeardLanguage, LanguagePreferences, NotStored, Publish, SourceEvent,
};
use tokio::sync::mpsc;

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
        place.send(Notification { id, recipients, event_type, content });
    }
}

/// Which languages users have chosen, for as long as the process lives: it is the application that remembers them.
pub struct EmbeddedPreferences {
    clock: Arc<dyn Clock>,
    /// What is said before there is nothing more to say.
    greeting: Mutex<Option<HeardLanguage>>,
}

impl EmbeddedPreferences {
    /// Nobody has chosen anything yet. `clock` tells when somebody does.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, greeting: Mutex::new(Some(HeardLanguage::UpToDate)) }
    }
}

#[async_trait]
impl LanguagePreferences for EmbeddedPreferences {
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<LanguageChoice, NotStored> {
        Ok(LanguageChoice { user, language, made: self.clock.since_1970() })
    }

    fn keep(&self, _: LanguageChoice) {}

    async fn hear(&self) -> HeardLanguage {
        let said = self.greeting.lock().take();
        match said {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
