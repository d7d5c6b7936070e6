//! The source of events: a reader of the stream that all services of the platform share.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{Client, jetstream};
use async_trait::async_trait;
use domain::{language::LanguageChoice, notification::EventId, revocation::AccountChange};
use ports::outbound::{Clock, EventSource, MessageMetadata, Metrics, Outcome, SourceEvent};
use tokio::sync::watch;
use tracing::warn;

use super::{
    backoff,
    connection::{Connection, ConnectionState},
    envelope::{self, Event, Skipped, Unreadable, UserChange},
    permissions::Denials,
    position::{Position, Start, incarnation},
    queue,
    subscription::{Received, Subscription},
};

/// Time within which NATS denies the requests for messages of a new consumer, if it denies them.
const PROBATION: Duration = Duration::from_secs(2);

/// A reader of the JetStream stream, through an ephemeral consumer that is recreated whenever it is lost.
///
/// The position is kept here, not on the server. A new consumer starts with the message after the last one that was handled, so no message
/// is lost or delivered twice.
pub struct JetStreamSource {
    connection: watch::Receiver<ConnectionState>,
    denials: Denials,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
    /// The time from which recent events are read at the start, since 1970. None if no recent events are read.
    recent: Option<Duration>,
    position: Option<Position>,
    /// The sequence of the last recent event, until all recent events were read.
    last_recent: Option<u64>,
    subscription: Option<Subscription>,
    /// The reported reason of the current interruption.
    reported: Option<String>,
    /// Whether the next attempt to subscribe is delayed.
    is_delayed: bool,
    /// Whether it is unknown if messages arrive. NATS may permit creating a consumer and deny its requests for messages, which it reports
    /// later. If the last consumer was lost before it delivered a message, or NATS denied it, the new one is known to work when it delivers
    /// a message or after [`PROBATION`]. `Subscribed` is reported then.
    is_on_probation: bool,
    failed_attempts: usize,
    /// The connection of the last attempt to subscribe.
    generation: u64,
    /// Events to return before the next message is read.
    queued: VecDeque<SourceEvent>,
}

impl JetStreamSource {
    /// Creates a source that starts with the events of the last `recently`, or with new events only if that is zero.
    #[must_use]
    pub fn new(
        connection: &Connection,
        metrics: Arc<dyn Metrics>,
        clock: Arc<dyn Clock>,
        recently: Duration,
    ) -> Self {
        let recent = clock.unix_time().saturating_sub(recently);
        Self {
            connection: connection.state.clone(),
            denials: connection.denials.clone(),
            metrics,
            clock,
            recent: (!recently.is_zero()).then_some(recent),
            position: None,
            last_recent: None,
            subscription: None,
            reported: None,
            is_delayed: false,
            is_on_probation: false,
            failed_attempts: 0,
            generation: 0,
            queued: VecDeque::new(),
        }
    }

    /// Creates a consumer at the current position, and the stream if it is missing.
    async fn subscribe(
        &mut self,
        client: Client,
        generation: u64,
    ) -> Result<Subscription, async_nats::Error> {
        let max_message_bytes = client.server_info().max_payload;
        let context = jetstream::new(client);
        let queue = queue::open(&context, self.position.is_some()).await?;
        let info = queue.cached_info();
        let (incarnation, last) = (incarnation(info), info.state.last_sequence);
        let start = Start::after(self.position, incarnation, last, self.recent);
        let consumer = queue::consumer(&queue, start).await?;
        let messages = queue::messages(&consumer, max_message_bytes).await?;
        let info = consumer.cached_info();
        self.start_after(EventId { incarnation, sequence: info.delivered.stream_sequence }, last);
        let consumer = info.name.clone();
        let denied = self.denials.denied(queue::NAME);
        Ok(Subscription::new(context, consumer, messages, generation, denied))
    }

    /// Records that a consumer delivers the messages after `after`. `last` is the last sequence of the stream. On the first subscription,
    /// the messages up to `last` are the recent ones, which are returned before `Subscribed`.
    fn start_after(&mut self, after: EventId, last: u64) {
        if self.position.is_none() || self.last_recent.is_some() {
            self.last_recent = Some(last);
        }
        self.advance_to(after);
        self.recent_read_to(after.sequence);
    }

    /// Sets the position, because the next message is the one after `after`. Reports a resync if that is not the position so far: NATS has
    /// lost the messages in between.
    fn advance_to(&mut self, after: EventId) {
        if self.position.map(|position| position.last) != Some(after) {
            let published = self.position.map_or(self.clock.unix_time(), |position| position.published);
            self.position = Some(Position { last: after, published });
            self.queued.push_back(SourceEvent::Resync { after });
        }
    }

    /// Reports `Subscribed` if the recent events end at `sequence` or before it, unless the consumer is on probation.
    fn recent_read_to(&mut self, sequence: u64) {
        if self.last_recent.is_none_or(|last| sequence >= last) {
            self.last_recent = None;
            if !self.is_on_probation {
                self.queued.push_back(SourceEvent::Subscribed);
            }
        }
    }

    /// Ends the probation of a consumer that works, and reports `Subscribed` if all recent events were read.
    fn end_probation(&mut self) {
        if std::mem::take(&mut self.is_on_probation) && self.last_recent.is_none() {
            self.queued.push_back(SourceEvent::Subscribed);
        }
    }

    /// Decodes a message and queues its events.
    fn handle(&mut self, Received { message, sequence, published, pending }: &Received) {
        let (sequence, Some(position)) = (*sequence, self.position) else { return };
        self.advance_to(EventId { sequence: sequence - 1, ..position.last });
        let id = EventId { sequence, ..position.last };
        self.position = Some(Position { last: id, published: *published });
        match envelope::read(&message.payload, id) {
            Ok(Some(Event::Notification { notification, trace_parent, skipped })) => {
                let Skipped { translations, users } = skipped;
                if translations > 0 {
                    warn!(sequence, unreadable = translations, "unreadable translations of an event skipped");
                    self.metrics.translations_unreadable(translations);
                }
                if users > 0 {
                    warn!(sequence, unreadable = users, "unreadable users of an event skipped");
                }
                let age = self.clock.unix_time().saturating_sub(*published);
                let metadata = MessageMetadata {
                    system: "nats",
                    destination: queue::NAME,
                    body_bytes: message.payload.len(),
                    trace_parent,
                };
                self.queued.push_back(SourceEvent::Notification { notification, age, metadata });
            }
            Ok(Some(Event::UserChanged { user, changes })) => {
                for change in changes {
                    let user = user.clone();
                    match change {
                        Ok(UserChange::Account { is_enabled }) => {
                            let change = AccountChange { user, is_enabled, changed_at: *published };
                            self.queued.push_back(SourceEvent::AccountChanged(change));
                        }
                        Ok(UserChange::Language(language)) => {
                            let choice = LanguageChoice { user, language, chosen_at: *published };
                            self.queued.push_back(SourceEvent::LanguageChosen(choice));
                        }
                        Err(error) => self.skip_unreadable(sequence, &error),
                    }
                }
            }
            Ok(None) => self.metrics.event_received(Outcome::OtherType),
            Err(error) => self.skip_unreadable(sequence, &error),
        }
        self.queued.push_back(SourceEvent::Lag { messages: *pending });
        if self.last_recent.is_some() {
            // The last recent event may have been deleted meanwhile. Without waiting messages, all were read.
            self.recent_read_to(if *pending == 0 { u64::MAX } else { sequence });
        }
    }

    fn skip_unreadable(&self, sequence: u64, error: &Unreadable) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        warn!(sequence, %error, cause, "unreadable message skipped");
        self.metrics.event_received(Outcome::Unreadable);
    }

    /// Drops the consumer. Returns the interruption, unless this reason is already reported.
    ///
    /// The next attempt is delayed if the consumer has delivered no message. Otherwise a NATS server that rejects reads would get requests
    /// without a pause.
    fn interrupted(&mut self, reason: String) -> Option<SourceEvent> {
        if let Some(subscription) = self.subscription.take() {
            self.is_delayed = !subscription.has_received();
            self.is_on_probation = self.is_delayed;
            if !self.is_delayed {
                self.failed_attempts = 0;
            }
        }
        let is_new = self.reported.as_ref() != Some(&reason);
        self.reported = Some(reason.clone());
        is_new.then_some(SourceEvent::Interrupted { reason })
    }

    /// Waits for the connection, or tries once to subscribe. Returns an interruption that was not reported yet.
    async fn try_subscribe(&mut self) -> Option<SourceEvent> {
        let state = self.connection.borrow_and_update().clone();
        let Some(client) = state.client.filter(|_| state.connected) else {
            let interruption = state.error.and_then(|error| self.interrupted(error));
            // A source never ends, even if the task of the connection has ended.
            if interruption.is_none() && self.connection.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            return interruption;
        };
        if state.generation != self.generation {
            self.generation = state.generation;
            self.is_delayed = false;
            self.is_on_probation = state.was_denied;
            self.failed_attempts = 0;
        }
        if std::mem::take(&mut self.is_delayed) {
            self.failed_attempts += 1;
            tokio::time::sleep(backoff::delay(self.failed_attempts)).await;
        }
        let denials = self.denials.clone();
        match denials.unless_denied(queue::NAME, self.subscribe(client, state.generation)).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.reported = None;
                None
            }
            Err(error) => {
                self.is_delayed = true;
                self.interrupted(format!("cannot create a consumer: {error}"))
            }
        }
    }
}

#[async_trait]
impl EventSource for JetStreamSource {
    async fn next(&mut self) -> SourceEvent {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return event;
            }
            let interruption = match &mut self.subscription {
                // Boxed, because this future is large and rarely used.
                None => Box::pin(self.try_subscribe()).await,
                Some(subscription) => {
                    let next = subscription.next(&mut self.connection);
                    let received = if self.is_on_probation {
                        // A consumer that NATS denies is lost within this time.
                        tokio::time::timeout(PROBATION, next).await.ok().transpose()
                    } else {
                        next.await.map(Some)
                    };
                    match received {
                        Ok(received) => {
                            self.end_probation();
                            if let Some(received) = received {
                                self.handle(&received);
                            }
                            None
                        }
                        Err(reason) => self.interrupted(reason),
                    }
                }
            };
            if let Some(interruption) = interruption {
                return interruption;
            }
        }
    }

    async fn close(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.close(queue::NAME).await;
        }
    }
}
