//! From the bus to the streams.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    notification::Notification,
    patience::{Patience, Verdict},
};
use ports::outbound::{
    Clock, EventSource, Frame, Frames, Metrics, Offer, Origin, Outcome, SourceEvent, Traces,
};
use tracing::{Instrument as _, error, info, info_span, warn};

use super::{LanguageChoices, Status, Subscriptions, editions::Editions, subscriptions::Behind};

/// Takes one event after the other from the bus and offers it to the streams of everybody it names.
///
/// An offer never waits. Only when a queue is full does the relay pause, and with it the reading of the bus, so that
/// what the streams cannot take yet stays there; [`Patience`] says for how long.
pub struct Relay {
    /// Who is connected.
    pub subscriptions: Subscriptions,
    /// Which languages they read.
    pub languages: LanguageChoices,
    /// How an event looks on a stream.
    pub frames: Arc<dyn Frames>,
    /// Where all this is counted.
    pub metrics: Arc<dyn Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How long to wait for slow streams.
    pub patience: Patience,
    /// Where it is told whether the bus can be read.
    pub status: Arc<Status>,
    /// What ties an event to what led to it.
    pub traces: Arc<dyn Traces>,
}

impl Relay {
    /// Runs until `stop` is ready, and gives the bus up cleanly.
    pub async fn run(mut self, mut source: Box<dyn EventSource>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let event = tokio::select! {
                // We are to end.
                () = &mut stop => break,
                // The bus has something to say.
                event = source.next() => event,
            };
            self.handle(event).await;
        }
        source.close().await;
    }

    /// Does what follows from what the bus has said.
    pub async fn handle(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Notification { notification, age, trace_parent } => {
                let span = info_span!("deliver", event = %notification.id, r#type = notification.event_type.as_str());
                let origin = Origin { trace_parent: trace_parent.into(), ..Origin::default() };
                self.traces.continue_from(&span, origin);
                self.deliver(&Arc::new(notification), age).instrument(span).await;
            }
            SourceEvent::LanguageChosen(choice) => {
                self.languages.chosen_elsewhere(choice);
                self.metrics.event_received(Outcome::LanguageChosen);
            }
            SourceEvent::Begins { after } => {
                let now = self.clock.now();
                for (stream, frame) in self.subscriptions.begin(after) {
                    self.wait_for(&stream, &frame, now).await;
                }
            }
            SourceEvent::Subscribed => {
                info!("reading from the bus");
                self.subscriptions.subscribed();
                self.metrics.bus_connected(true);
                self.status.subscribed();
            }
            SourceEvent::Behind { messages } => {
                warn!(messages, "the bus is read more slowly than others publish");
                self.status.behind(messages);
            }
            SourceEvent::Interrupted { reason } => {
                self.subscriptions.interrupted();
                self.metrics.bus_connected(false);
                // An outage may have one reason after the other; it is one outage.
                if self.status.interrupted(reason.clone()) {
                    error!(reason, "the bus cannot be read, trying again");
                }
            }
        }
    }

    /// Brings one event, which the bus has had for `age`, to every live stream of everybody it names, and comes back when
    /// each has taken it or has ended. Those that are to come find it in the history.
    async fn deliver(&mut self, notification: &Arc<Notification>, age: Duration) {
        let now = self.clock.now();
        let published = now.checked_sub(age).unwrap_or(now);
        self.subscriptions.record(notification, published);
        let Offered { mut accepted, behind } = self.offer(notification, published, now);
        for (stream, frame) in behind {
            accepted += usize::from(self.wait_for(&stream, &frame, now).await);
        }
        self.subscriptions.settle(notification.id);
        if notification.is_logout() {
            for user in &notification.recipients {
                self.subscriptions.log_out(user);
            }
        }
        if accepted > 0 {
            self.metrics.event_received(Outcome::Delivered);
            self.metrics.delivered(accepted);
        } else {
            self.metrics.event_received(Outcome::NoSubscriber);
        }
    }

    /// Offers the event to every stream that is to have it. Each version is encoded once, and only when
    /// there is a stream for it.
    fn offer(&self, notification: &Notification, published: Instant, now: Instant) -> Offered {
        let mut editions = Editions::new(notification, &*self.frames, published);
        let mut behind = Vec::new();
        let accepted = notification
            .recipients
            .iter()
            .map(|user| self.subscriptions.offer(user, notification.id, now, &mut editions, &mut behind))
            .sum();
        Offered { accepted, behind }
    }

    /// Waits until `stream` has taken the event, first offered at `offered`; false when it has ended instead.
    ///
    /// Streams wait one after the other, but their time runs at once: whoever could catch up meanwhile takes the event
    /// immediately, and whoever stood still meanwhile is judged by that.
    async fn wait_for(&mut self, stream: &Behind, frame: &Frame, offered: Instant) -> bool {
        let began = self.clock.now();
        // For how long this process stood still when it meant to wait: no client can read then.
        let mut standstill = Duration::ZERO;
        loop {
            let now = self.clock.now();
            let stalled = match stream.outbox.offer(frame, now) {
                Offer::Accepted => return true,
                Offer::Gone => return false,
                Offer::Full { stalled } => stalled,
            };
            let waited = now.saturating_duration_since(offered).saturating_sub(standstill);
            match self.patience.judge(stalled.saturating_sub(standstill), waited, now) {
                // Whether there is room now or the time is over, the next offer tells.
                Verdict::Wait(time) => {
                    tokio::time::timeout(time, stream.outbox.room()).await.ok();
                    standstill += self.clock.now().saturating_duration_since(now).saturating_sub(time);
                }
                Verdict::End => {
                    self.patience.spend(now.saturating_duration_since(began), now);
                    self.subscriptions.end_slow(stream);
                    return false;
                }
            }
        }
    }
}

/// What became of an event that was offered.
struct Offered {
    accepted: usize,
    behind: Vec<(Behind, Frame)>,
}
