//! Reads the stream that all services of the platform share.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{Client, jetstream};
use async_trait::async_trait;
use domain::{language::LanguageChoice, notification::EventId, revocation::AccountChange};
use ports::outbound::{Clock, EventSource, MessageMetadata, Metrics, Outcome, SourceEvent};
use tokio::sync::watch;
use tracing::warn;

use super::{
    backoff,
    connection::{Connection, LineState},
    envelope::{self, Event, PassedOver, Unreadable, UserChange},
    lag::Lag,
    permissions::Denials,
    position::{Position, Start, incarnation},
    queue,
    subscription::{Received, Subscription},
};

/// A consumer that follows one that was lost at once counts as one that works after this time.
const PROBATION: Duration = Duration::from_secs(2);

/// The bus's one stream, read through an ephemeral consumer that is made again whenever it is lost.
///
/// The position is kept here, not on the server: a new consumer begins with the message after the last one that was
/// handled, so nothing is lost and nothing comes twice.
pub struct JetStreamSource {
    line: watch::Receiver<LineState>,
    denials: Denials,
    metrics: Arc<dyn Metrics>,
    clock: Arc<dyn Clock>,
    /// From when on events are to be remembered, since 1970; none when they are not.
    recent: Option<Duration>,
    position: Option<Position>,
    /// The last of the recent events, while they have not all come.
    filling: Option<u64>,
    subscription: Option<Subscription>,
    /// What has been said of the present interruption.
    said: Option<String>,
    /// Whether to pause before the next attempt to subscribe, and for how long.
    pause: bool,
    /// Whether the last consumer brought nothing before it was lost, or NATS denied it, so that the next one has still to prove itself. Where
    /// NATS permits to make a consumer, but not to ask it for messages, readiness would change to and fro otherwise.
    is_unproven: bool,
    failed_attempts: usize,
    /// The line over which the last attempt was made.
    generation: u64,
    lag: Lag,
    /// What comes after what was just returned.
    queued: VecDeque<SourceEvent>,
}

impl JetStreamSource {
    /// A source that will read over `connection`, beginning with what was published `recently`, or from then on when that is
    /// zero.
    #[must_use]
    pub fn new(
        connection: &Connection,
        metrics: Arc<dyn Metrics>,
        clock: Arc<dyn Clock>,
        recently: Duration,
    ) -> Self {
        let recent = clock.unix_time().saturating_sub(recently);
        Self {
            line: connection.state.clone(),
            denials: connection.denials.clone(),
            metrics,
            clock,
            recent: (!recently.is_zero()).then_some(recent),
            position: None,
            filling: None,
            subscription: None,
            said: None,
            pause: false,
            is_unproven: false,
            failed_attempts: 0,
            generation: 0,
            lag: Lag::default(),
            queued: VecDeque::new(),
        }
    }

    /// Makes a consumer at the present position, and the stream when it is missing.
    async fn subscribe(
        &mut self,
        client: Client,
        generation: u64,
    ) -> Result<Subscription, async_nats::Error> {
        let largest_message = client.server_info().max_payload;
        let context = jetstream::new(client);
        let queue = queue::open(&context, self.position.is_some()).await?;
        let info = queue.cached_info();
        let (incarnation, last) = (incarnation(info), info.state.last_sequence);
        let start = Start::after(self.position, incarnation, last, self.recent);
        let consumer = queue::consumer(&queue, start).await?;
        let messages = queue::messages(&consumer, largest_message).await?;
        let info = consumer.cached_info();
        self.begin(EventId { incarnation, sequence: info.delivered.stream_sequence }, last);
        let consumer = info.name.clone();
        let denied = self.denials.denied(queue::NAME);
        Ok(Subscription::new(context, consumer, messages, generation, denied))
    }

    /// A consumer delivers what comes after `after`; `last` is the stream's last sequence. At first, what is there already
    /// has to come before anything is said to arrive.
    fn begin(&mut self, after: EventId, last: u64) {
        if self.position.is_none() || self.filling.is_some() {
            self.filling = Some(last);
        }
        self.skip_to(after);
        self.filled(after.sequence);
    }

    /// The next message is the one after `after`. If that is not what was read last, something was lost; the bus had it no
    /// longer.
    fn skip_to(&mut self, after: EventId) {
        if self.position.map(|position| position.last) != Some(after) {
            let published = self.position.map_or(self.clock.unix_time(), |position| position.published);
            self.position = Some(Position { last: after, published });
            self.queued.push_back(SourceEvent::Resync { after });
        }
    }

    /// Everything up to `sequence` has come.
    fn filled(&mut self, sequence: u64) {
        if self.filling.is_none_or(|last| sequence >= last) {
            self.filling = None;
            if !self.is_unproven {
                self.queued.push_back(SourceEvent::Subscribed);
            }
        }
    }

    /// The consumer has not been lost at once, as the last one was.
    fn prove(&mut self) {
        if std::mem::take(&mut self.is_unproven) && self.filling.is_none() {
            self.queued.push_back(SourceEvent::Subscribed);
        }
    }

    /// Reads one message, and queues what there is to say of it.
    fn read(&mut self, Received { message, sequence, published, pending }: &Received) {
        let (sequence, Some(position)) = (*sequence, self.position) else { return };
        self.skip_to(EventId { sequence: sequence - 1, ..position.last });
        let id = EventId { sequence, ..position.last };
        self.position = Some(Position { last: id, published: *published });
        self.metrics.nats_lag(*pending);
        match envelope::read(&message.payload, id) {
            Ok(Some(Event::Notification { notification, trace_parent, passed_over })) => {
                let PassedOver { translations, users } = passed_over;
                if translations > 0 {
                    warn!(sequence, unreadable = translations, "translations of an event were passed over");
                    self.metrics.translations_unreadable(translations);
                }
                if users > 0 {
                    warn!(sequence, unreadable = users, "users of an event were passed over");
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
                        Err(error) => self.pass_over(sequence, &error),
                    }
                }
            }
            Ok(None) => self.metrics.event_received(Outcome::OtherType),
            Err(error) => self.pass_over(sequence, &error),
        }
        if self.filling.is_some() {
            // The last of them may have been deleted meanwhile.
            self.filled(if *pending == 0 { u64::MAX } else { sequence });
        } else {
            self.queued.extend(self.lag.judge(*pending));
        }
    }

    fn pass_over(&self, sequence: u64, error: &Unreadable) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        warn!(sequence, %error, cause, "a message of the bus was passed over");
        self.metrics.event_received(Outcome::Unreadable);
    }

    /// Gives up the consumer, and says why unless that was just said. One that has brought nothing is not replaced at once,
    /// or a bus that refuses to be read would be asked without a pause.
    fn interrupted(&mut self, reason: String) -> Option<SourceEvent> {
        if let Some(subscription) = self.subscription.take() {
            self.lag = Lag::default();
            self.pause = !subscription.has_brought_something();
            self.is_unproven = self.pause;
            if !self.pause {
                self.failed_attempts = 0;
            }
        }
        let new = self.said.as_ref() != Some(&reason);
        self.said = Some(reason.clone());
        new.then_some(SourceEvent::Interrupted { reason })
    }

    /// One step on the way to a subscription: waits for the line, then asks for a consumer.
    async fn next_attempt(&mut self) -> Option<SourceEvent> {
        let state = self.line.borrow_and_update().clone();
        let Some(client) = state.client.filter(|_| state.connected) else {
            let said = state.trouble.and_then(|trouble| self.interrupted(trouble));
            // When nobody makes the line any more, a source waits even so.
            if said.is_none() && self.line.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            return said;
        };
        if state.generation != self.generation {
            self.generation = state.generation;
            self.pause = false;
            self.is_unproven = state.was_denied;
            self.failed_attempts = 0;
        }
        if std::mem::take(&mut self.pause) {
            self.failed_attempts += 1;
            tokio::time::sleep(backoff::delay(self.failed_attempts)).await;
        }
        let denials = self.denials.clone();
        match denials.permitted(queue::NAME, self.subscribe(client, state.generation)).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.said = None;
                None
            }
            Err(error) => {
                self.pause = true;
                self.interrupted(format!("no consumer: {error}"))
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
            let said = match &mut self.subscription {
                // It is rare and large: nobody else is to carry it.
                None => Box::pin(self.next_attempt()).await,
                Some(subscription) => {
                    let next = subscription.next(&mut self.line);
                    let received = if self.is_unproven {
                        // Without a message it would have been lost by then.
                        tokio::time::timeout(PROBATION, next).await.ok().transpose()
                    } else {
                        next.await.map(Some)
                    };
                    match received {
                        Ok(received) => {
                            self.prove();
                            if let Some(received) = received {
                                self.read(&received);
                            }
                            None
                        }
                        Err(reason) => self.interrupted(reason),
                    }
                }
            };
            if let Some(said) = said {
                return said;
            }
        }
    }

    async fn close(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.close(queue::NAME).await;
        }
    }
}
