//! What the use cases need from the world, in memory.

use ports::outbound::{Clock, EventSource, HeardLanguage, LanguagePreferences, Origin, Traces};

use super::*;

pub(super) struct NoTraces;

impl Traces for NoTraces {
    fn continue_from(&self, _: &tracing::Span, _: Origin) {}
}

/// A clock that stands still but for the time that a test lets pass. Its wall clock begins at 1970.
pub(super) struct PausedClock {
    started: Instant,
    set_forward: Mutex<Duration>,
}

impl Default for PausedClock {
    fn default() -> Self {
        Self { started: now(), set_forward: Mutex::default() }
    }
}

impl PausedClock {
    /// Sets the wall clock forward by `time`, as when the machine has slept.
    pub(super) fn set_forward(&self, time: Duration) {
        *self.set_forward.lock() += time;
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Instant {
        now()
    }

    fn since_1970(&self) -> Duration {
        now() - self.started + *self.set_forward.lock()
    }
}

/// The time of the paused clock.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A source that brings what a test sends.
pub(super) struct FakeSource(pub(super) mpsc::UnboundedReceiver<SourceEvent>);

#[async_trait]
impl EventSource for FakeSource {
    async fn next(&mut self) -> SourceEvent {
        match self.0.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        self.0.close();
    }
}

/// Frames that are the content of their event, or say in a few words what they are.
pub(super) struct PlainFrames {
    /// Whether a stream begins with the id to come back with.
    pub(super) tell_opening: bool,
}

pub(super) const PLAIN_FRAMES: PlainFrames = PlainFrames { tell_opening: false };

impl Frames for PlainFrames {
    fn event(&self, notification: &Notification, version: domain::content::Version) -> Frame {
        notification.content.text(version).to_owned().into()
    }

    fn opening(&self, _: Option<Duration>, position: Option<EventId>) -> Option<Frame> {
        let position = position.filter(|_| self.tell_opening)?;
        Some(self.position(position))
    }

    fn position(&self, position: EventId) -> Frame {
        format!("at {position}").into()
    }

    fn gap(&self, gap: &domain::gap::Gap, position: EventId) -> Frame {
        let last = gap.last_event_id.as_deref().unwrap_or("nothing");
        format!("{:?} after {last}, at {position}", gap.reason).into()
    }

    fn language(&self, language: &LanguageTag) -> Frame {
        format!("in {language}").into()
    }

    fn keepalive(&self) -> Frame {
        Frame::from_static(b":")
    }

    fn closing(&self, reason: EndReason, reconnection_time: Option<Duration>) -> Frame {
        match reconnection_time {
            Some(time) => format!("{reason:?}, back in {time:?}").into(),
            None => format!("{reason:?}").into(),
        }
    }
}

/// A store in memory, whose time is the number of choices, and which may be away.
#[derive(Default)]
pub(super) struct FakePreferences {
    pub(super) choices: Mutex<Vec<LanguageChoice>>,
    pub(super) away: Mutex<bool>,
}

#[async_trait]
impl LanguagePreferences for FakePreferences {
    async fn choose(&self, user: UserId, language: Option<LanguageTag>) -> Result<LanguageChoice, NotStored> {
        if *self.away.lock() {
            return Err(NotStored);
        }
        let mut choices = self.choices.lock();
        let choice = LanguageChoice { user, language, made: s(choices.len() as u64) };
        choices.push(choice.clone());
        Ok(choice)
    }

    fn keep(&self, choice: LanguageChoice) {
        self.choices.lock().push(choice);
    }

    async fn hear(&self) -> HeardLanguage {
        std::future::pending().await
    }
}

/// Metrics that take everything.
pub(super) fn any_metrics() -> MockMetrics {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_delivery_completed().return_const(());
    metrics.expect_replayed().return_const(());
    metrics.expect_gap_told().return_const(());
    metrics.expect_lagging().return_const(());
    metrics.expect_keepalive_sent().return_const(());
    metrics.expect_limit_reached().return_const(());
    metrics
}

/// Metrics that take no more than that streams are opened and that NATS is there.
pub(super) fn plain_metrics() -> MockMetrics {
    let mut metrics = MockMetrics::new();
    metrics.expect_bus_connected().return_const(());
    metrics.expect_stream_opened().return_const(());
    metrics
}
