//! Events on an open stream.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{identity::UserId, keepalive, notification::EventType};
use ports::outbound::{BodyPart, BusFault, Clock, ProbeBody};
use tokio::time::timeout;
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
    clock: Arc<dyn Clock>,
    /// The text that was received and may have a part of an event at its end.
    received: String,
    has_ended: bool,
}

impl Stream {
    pub(super) fn new(body: Box<dyn ProbeBody>, clock: &Arc<dyn Clock>) -> Self {
        Self { body, clock: Arc::clone(clock), received: String::new(), has_ended: false }
    }

    /// Waits for `event`. Returns the time between its publication and its arrival.
    pub(super) async fn arrival(&mut self, event: &TestEvent) -> Result<Duration, Lost> {
        let arrived = async {
            while !self.received.contains(&event.content) {
                match self.body.next().await {
                    BodyPart::Text(text) => self.receive(&text),
                    BodyPart::End(fault) => {
                        self.has_ended = true;
                        return Err(Lost::Ended(fault));
                    }
                }
            }
            Ok(self.clock.now().saturating_duration_since(event.published))
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
    pub(super) async fn idle(mut self, limit: Duration) -> Idle {
        if self.has_ended {
            return Idle::HadEnded;
        }
        let mut last = (self.clock.now(), String::new());
        let mut comments = 0;
        let read = async {
            loop {
                match self.body.next().await {
                    BodyPart::Text(text) => {
                        comments += text.lines().filter(|line| line.starts_with(':')).count();
                        last = (self.clock.now(), text);
                    }
                    BodyPart::End(fault) => return fault,
                }
            }
        };
        let ended = timeout(limit, read).await;
        let (time, text) = last;
        let silence = self.clock.now().saturating_duration_since(time);
        let comment = text.lines().rev().find_map(|line| line.strip_prefix(": "));
        let closing = comment.filter(|comment| *comment != keepalive::COMMENT).map(ToOwned::to_owned);
        match (ended, closing) {
            (Err(_), _) => Idle::Open { comments },
            // The last text of a stream that the service ends is a comment with the reason.
            (Ok(_), Some(reason)) if silence < MIN_SILENCE => Idle::EndedByService { reason },
            (Ok(cause), _) => Idle::Cut { silence, cause },
        }
    }
}

/// Silence before its end from which on a stream was cut.
const MIN_SILENCE: Duration = Duration::from_millis(500);

/// The fate of a stream without events.
pub(super) enum Idle {
    /// The stream had ended before.
    HadEnded,
    /// The stream is still open, after this number of comments.
    Open { comments: usize },
    /// The service has ended the stream itself.
    EndedByService { reason: String },
    /// The connection was cut after this time of silence, for this cause.
    Cut { silence: Duration, cause: Option<String> },
}

impl Diagnosis {
    /// Publishes a test event for `user`.
    pub(super) async fn publish(&self, user: &UserId) -> Result<TestEvent, BusFault> {
        let event_type =
            EventType::try_new(EVENT_TYPE).map_err(|error| BusFault::Failed(error.to_string()))?;
        let event = TestEvent { content: Uuid::new_v4().to_string(), published: self.clock.now() };
        self.bus.publish(user, &event_type, &event.content).await?;
        Ok(event)
    }
}
