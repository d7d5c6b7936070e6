//! The use case "relay events": events from NATS are appended to the log.

use std::{pin::pin, sync::Arc, time::Duration};

use domain::notification::Notification;
use ports::outbound::{
    Clock, EventSource, MessageMetadata, Metrics, Outcome, SourceEvent, TraceHeaders, Traces,
};
use tracing::{Span, debug, error, info, info_span, warn};

use super::{LanguageChoices, Status, Subscriptions, pace::Pacer, report_readiness::LagChange};

/// The relay: it reads events from NATS and appends them to the log, where the streams of their recipients read them.
///
/// It never waits for a client. It only pauses for a few milliseconds from time to time, so that the log does not grow faster than this
/// instance can write to the connections that accept data.
pub struct Relay {
    /// The log and the streams.
    pub subscriptions: Subscriptions,
    /// The language choices of the users.
    pub languages: LanguageChoices,
    /// Counts the events.
    pub metrics: Arc<dyn Metrics>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Records whether NATS can be read.
    pub status: Arc<Status>,
    /// Continues the trace of an event's publisher.
    pub traces: Arc<dyn Traces>,
}

impl Relay {
    /// Reads events until `stop` is ready, then closes the source.
    pub async fn run(self, mut source: Box<dyn EventSource>, stop: impl Future<Output = ()>) {
        let (mut stop, mut pacer) = (pin!(stop), Pacer::default());
        loop {
            let event = tokio::select! {
                () = &mut stop => break,
                event = source.next() => event,
            };
            let bytes = self.handle(event);
            pacer.appended(bytes, self.subscriptions.pace()).await;
        }
        source.close().await;
    }

    /// Handles one event of the source. Returns the number of bytes that were appended to the log.
    pub fn handle(&self, event: SourceEvent) -> usize {
        match event {
            SourceEvent::Notification { notification, age, metadata } => {
                let span = span(&notification, &metadata);
                let headers =
                    TraceHeaders { trace_parent: metadata.trace_parent.into(), ..TraceHeaders::default() };
                self.traces.continue_from(&span, headers);
                return span.in_scope(|| self.append(notification, age));
            }
            SourceEvent::LanguageChosen(choice) => {
                self.languages.apply_platform_choice(choice);
                self.metrics.event_received(Outcome::LanguageChosen);
            }
            SourceEvent::AccountChanged(change) => {
                let ended = self.subscriptions.account_changed(&change);
                debug!(ended, "account changed");
                self.metrics.event_received(Outcome::AccountChanged);
            }
            SourceEvent::Resync { after } => self.subscriptions.resync(after),
            SourceEvent::Subscribed => {
                info!("reading from NATS");
                self.subscriptions.subscribed();
                self.metrics.nats_connected(true);
                self.status.subscribed();
            }
            SourceEvent::Lag { messages } => {
                self.metrics.nats_lag(messages);
                match self.status.lag(messages) {
                    Some(LagChange::Began) => {
                        warn!(messages, "lagging behind NATS");
                        self.subscriptions.mark_lagging();
                    }
                    Some(LagChange::Ended) => {
                        info!("caught up with NATS");
                        self.subscriptions.subscribed();
                    }
                    None => {}
                }
            }
            SourceEvent::Interrupted { reason } => {
                self.subscriptions.mark_lagging();
                self.metrics.nats_connected(false);
                // The reason may change during an outage, which is logged once.
                if self.status.interrupted(reason.clone()) {
                    error!(reason, "NATS cannot be read, retrying");
                }
            }
        }
        0
    }

    /// Appends an event that was published `age` ago. Returns the number of bytes that were appended.
    fn append(&self, notification: Notification, age: Duration) -> usize {
        let now = self.clock.now();
        let published = now.checked_sub(age).unwrap_or(now);
        let appended = self.subscriptions.append(notification, published);
        let streams = appended.map_or(0, |appended| appended.streams);
        if streams > 0 {
            self.metrics.event_received(Outcome::Delivered);
            self.metrics.delivered(streams);
        } else {
            self.metrics.event_received(Outcome::NoSubscriber);
        }
        appended.map_or(0, |appended| appended.bytes)
    }
}

/// Creates the span of one event, from NATS to the log, with the attributes of OpenTelemetry's conventions for messaging. There is no
/// consumer group, because every instance reads all events.
fn span(notification: &Notification, metadata: &MessageMetadata) -> Span {
    info_span!(
        "deliver",
        "otel.kind" = "consumer",
        "messaging.system" = metadata.system,
        "messaging.destination.name" = metadata.destination,
        "messaging.operation.type" = "process",
        "messaging.operation.name" = "process",
        "messaging.message.body.size" = metadata.body_bytes,
        event = %notification.id,
        r#type = notification.event_type.as_str(),
    )
}
