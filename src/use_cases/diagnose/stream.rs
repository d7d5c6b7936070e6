//! Events on an open stream.

use std::time::Duration;

use domain::{identity::UserId, notification::EventType};
use ports::outbound::{BodyPart, BusFault, ProbeBody};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Diagnosis;

/// Timeout for the arrival of an event.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of the received text. A user's own events arrive on the same stream.
const MAX_RECEIVED_BYTES: usize = 1 << 20;
/// The type of the events. Clients ignore types that they do not know.
const EVENT_TYPE: &str = "ocis-sse-doctor";

/// An event that was published for a test.
pub(super) struct TestEvent {
    /// A text that occurs in this event only.
    content: String,
    sequence: u64,
    published: Instant,
}

/// Why an event did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("it did not arrive within {} seconds", ARRIVAL_TIMEOUT.as_secs())]
    Late,
    #[error("the stream ended before it arrived{}", .0.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default())]
    Ended(Option<String>),
}

/// A stream that is read for test events.
pub(super) struct Stream {
    body: Box<dyn ProbeBody>,
    /// The text that was received and may have a part of an event at its end.
    received: String,
}

impl Stream {
    pub(super) fn new(body: Box<dyn ProbeBody>) -> Self {
        Self { body, received: String::new() }
    }

    /// Waits for `event`. Returns the time between its publication and its arrival.
    pub(super) async fn arrival(&mut self, event: &TestEvent) -> Result<Duration, Lost> {
        let arrived = async {
            while !self.received.contains(&event.content) {
                match self.body.next().await {
                    BodyPart::Text(text) => self.receive(&text),
                    BodyPart::End(fault) => return Err(Lost::Ended(fault)),
                }
            }
            Ok(event.published.elapsed())
        };
        timeout(ARRIVAL_TIMEOUT, arrived).await.unwrap_or(Err(Lost::Late))
    }

    /// Adds received text, and forgets the oldest.
    fn receive(&mut self, text: &str) {
        self.received += text;
        if self.received.len() > MAX_RECEIVED_BYTES {
            let half = self.received.floor_char_boundary(MAX_RECEIVED_BYTES / 2);
            self.received.drain(..half);
        }
    }

    /// Reads until the stream ends or `limit` is over.
    pub(super) async fn idle(&mut self, limit: Duration) -> Idle {
        let start = Instant::now();
        let mut idle = Idle { ended: None, comments: 0 };
        let mut last = start;
        let read = async {
            loop {
                match self.body.next().await {
                    BodyPart::Text(_) => {
                        idle.comments += 1;
                        last = Instant::now();
                    }
                    BodyPart::End(fault) => return fault,
                }
            }
        };
        if let Ok(fault) = timeout(limit, read).await {
            idle.ended = Some((last.elapsed(), fault));
        }
        idle
    }
}

/// What happened to a stream without events.
pub(super) struct Idle {
    /// The silence before the end, and its cause. None if the stream is still open.
    pub(super) ended: Option<(Duration, Option<String>)>,
    /// The number of comments that arrived.
    pub(super) comments: usize,
}

impl Diagnosis {
    /// Publishes a test event for `user`.
    pub(super) async fn publish(&self, user: &UserId) -> Result<TestEvent, BusFault> {
        let event_type =
            EventType::try_new(EVENT_TYPE).map_err(|error| BusFault::Failed(error.to_string()))?;
        let content = Uuid::new_v4().to_string();
        let published = Instant::now();
        let sequence = self.bus.publish(user, &event_type, &content).await?;
        Ok(TestEvent { content, sequence, published })
    }

    /// Removes test events from the queue. Returns why they stay there, if they do.
    pub(super) async fn remove(&self, events: &[&TestEvent]) -> Option<BusFault> {
        for event in events {
            if let Err(fault) = self.bus.remove(event.sequence).await {
                return Some(fault);
            }
        }
        None
    }
}
