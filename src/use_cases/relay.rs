//! From NATS to the log.

use std::{pin::pin, sync::Arc, time::Duration};

use domain::notification::Notification;
use ports::outbound::{
    Clock, EventSource, MessageMetadata, Metrics, Outcome, SourceEvent, TraceHeaders, Traces,
};
use tracing::{Span, debug, error, info, info_span, warn};

use super::{LanguageChoices, Status, Subscriptions, pace::Pacer};

/// Takes one event after the other from NATS and appends it to the log, from where the streams of the users it names take it.
///
/// It never waits for a client. From time to time it waits until the connections have had a turn, so that the log does not run ahead of
/// our own writing.
pub struct Relay {
    /// The log and the streams.
    pub subscriptions: Subscriptions,
    /// Which languages users read.
    pub languages: LanguageChoices,
    /// Where all this is counted.
    pub metrics: Arc<dyn Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it is told whether NATS can be read.
    pub status: Arc<Status>,
    /// What ties an event to what led to it.
    pub traces: Arc<dyn Traces>,
}

impl Relay {
    /// Runs until `stop` is ready, and gives the bus up cleanly.
    pub async fn run(self, mut source: Box<dyn EventSource>, stop: impl Future<Output = ()>) {
        let (mut stop, mut pacer) = (pin!(stop), Pacer::default());
        loop {
            let event = tokio::select! {
                // We are to end.
                () = &mut stop => break,
                // The bus has something to say.
                event = source.next() => event,
            };
            let bytes = self.handle(event);
            pacer.appended(bytes, self.subscriptions.pace()).await;
        }
        source.close().await;
    }

    /// Does what follows from what NATS brings; returns by how many bytes the log has grown.
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
                self.languages.chosen_elsewhere(choice);
                self.metrics.event_received(Outcome::LanguageChosen);
            }
            SourceEvent::AccountChanged(change) => {
                let ended = self.subscriptions.account_changed(&change);
                debug!(ended, "account changed");
                self.metrics.event_received(Outcome::AccountChanged);
            }
            SourceEvent::Resync { after } => self.subscriptions.resync(after),
            SourceEvent::Subscribed => {
                info!("reading from the bus");
                self.subscriptions.subscribed();
                self.metrics.nats_connected(true);
                self.status.subscribed();
            }
            SourceEvent::Lagging { messages } => {
                warn!(messages, "the bus is read more slowly than others publish");
                self.subscriptions.fall_behind();
                self.status.behind(messages);
            }
            SourceEvent::Interrupted { reason } => {
                self.subscriptions.fall_behind();
                self.metrics.nats_connected(false);
                // An outage may have one reason after the other; it is one outage.
                if self.status.interrupted(reason.clone()) {
                    error!(reason, "the bus cannot be read, trying again");
                }
            }
        }
        0
    }

    /// Appends an event that NATS has had for `age`.
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

/// The span of one event, from NATS to the log, with the attributes that OpenTelemetry's conventions have for a message. There is no group
/// of consumers: every instance reads everything.
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
