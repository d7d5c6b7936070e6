//! In-memory fakes of the outbound ports.

use domain::bookmark::Bookmark;
use ports::{
    obligations,
    outbound::{Clock, EventSource, LanguagePreferences, StoreUpdate, TraceHeaders, Traces},
};
use tokio::sync::watch;

use super::*;

pub(super) struct NoTraces;

impl Traces for NoTraces {
    fn continue_from(&self, _: &tracing::Span, _: TraceHeaders) {}
}

/// The paused clock of the runtime. Its wall clock starts at 1970.
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

    fn unix_time(&self) -> Duration {
        now() - self.started + *self.set_forward.lock()
    }
}

/// Returns the time of the paused clock.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A source of the events that a test sends.
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

/// Frames in plain text: the content of an event, or a short description.
pub(super) struct PlainFrames {
    /// Whether the opening of a stream has an id.
    pub(super) send_opening: bool,
}

pub(super) const PLAIN_FRAMES: PlainFrames = PlainFrames { send_opening: false };

impl Frames for PlainFrames {
    fn event(&self, notification: &Notification, translation: domain::content::TranslationIndex) -> Frame {
        notification.content.text(translation).to_owned().into()
    }

    fn opening(&self, _: Option<Duration>, position: Option<EventId>) -> Option<Frame> {
        let position = position.filter(|_| self.send_opening)?;
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

/// A store of choices in memory, which may be unavailable. Its clock is the number of choices.
#[derive(Default)]
pub(super) struct FakePreferences {
    pub(super) store: Arc<watch::Sender<Vec<LanguageChoice>>>,
    pub(super) is_unavailable: Mutex<bool>,
    /// The number of choices that were returned, and whether `UpToDate` was returned.
    returned: Mutex<(usize, bool)>,
}

impl FakePreferences {
    /// Returns the preferences of another instance, with the same store.
    pub(super) fn another(&self) -> Self {
        Self { store: Arc::clone(&self.store), ..Self::default() }
    }

    fn next(&self, choices: &[LanguageChoice]) -> Option<StoreUpdate<LanguageChoice>> {
        let (position, is_up_to_date) = &mut *self.returned.lock();
        if let Some(choice) = choices.get(*position) {
            *position += 1;
            return Some(StoreUpdate::Entry(choice.clone()));
        }
        (!std::mem::replace(is_up_to_date, true)).then_some(StoreUpdate::UpToDate)
    }
}

fn chosen_at(choices: &[LanguageChoice], user: &UserId) -> Option<Duration> {
    choices.iter().rev().find(|choice| choice.user == *user).map(|choice| choice.chosen_at)
}

#[async_trait]
impl LanguagePreferences for FakePreferences {
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        if *self.is_unavailable.lock() {
            return Err(NotStored);
        }
        let mut choice = LanguageChoice { user, language, chosen_at: Duration::ZERO };
        self.store.send_modify(|choices| {
            let time = s(choices.len() as u64);
            choice.chosen_at = LanguageChoice::time_after(after.max(chosen_at(choices, &choice.user)), time);
            choices.push(choice.clone());
        });
        Ok(choice)
    }

    fn keep(&self, choice: LanguageChoice) {
        self.store.send_modify(|choices| {
            if chosen_at(choices, &choice.user).is_none_or(|chosen_at| choice.chosen_at > chosen_at) {
                choices.push(choice);
            }
        });
    }

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        let mut store = self.store.subscribe();
        loop {
            if let Some(update) = self.next(&store.borrow_and_update()) {
                return update;
            }
            store.changed().await.expect("the store exists");
        }
    }
}

/// An exchange of bookmarks in memory, as one instance sees it.
#[derive(Default)]
pub(super) struct FakeExchange {
    bucket: Arc<watch::Sender<SharedBucket>>,
    instance: usize,
    progress: Mutex<Progress>,
    /// Whether this instance cannot reach the bucket.
    is_unavailable: bool,
}

/// The bucket that all instances share.
#[derive(Default)]
struct SharedBucket {
    instances: usize,
    /// The published bookmarks, each with the number of its instance.
    published: Vec<(usize, Bookmark)>,
    /// The number of times that the bucket was lost.
    losses: usize,
}

/// How much of the bucket an instance has read.
#[derive(Default)]
struct Progress {
    bookmarks: usize,
    losses: usize,
    is_up_to_date: bool,
}

impl FakeExchange {
    /// Returns the exchange of another instance, with the same bucket.
    pub(super) fn another(&self) -> Self {
        let bucket = Arc::clone(&self.bucket);
        bucket.send_modify(|bucket| bucket.instances += 1);
        let instance = bucket.borrow().instances;
        let progress = Mutex::new(Progress { losses: bucket.borrow().losses, ..Progress::default() });
        Self { bucket, instance, progress, is_unavailable: false }
    }

    /// Returns an exchange whose bucket cannot be reached.
    pub(super) fn unavailable() -> Self {
        Self { is_unavailable: true, ..Self::default() }
    }

    /// Loses all bookmarks, as when the bucket is deleted.
    pub(super) fn lose(&self) {
        self.bucket.send_modify(|bucket| {
            bucket.published.clear();
            bucket.losses += 1;
        });
    }

    /// Returns the published bookmarks of all instances.
    pub(super) fn published(&self) -> Vec<Bookmark> {
        self.bucket.borrow().published.iter().map(|(_, bookmark)| bookmark.clone()).collect()
    }

    fn next(&self, bucket: &SharedBucket) -> Option<StoreUpdate<Bookmark>> {
        let Progress { bookmarks, losses, is_up_to_date } = &mut *self.progress.lock();
        if bucket.losses > *losses {
            *losses = bucket.losses;
            (*bookmarks, *is_up_to_date) = (0, false);
            return Some(StoreUpdate::Recreated);
        }
        while let Some((instance, bookmark)) = bucket.published.get(*bookmarks) {
            *bookmarks += 1;
            if *instance != self.instance {
                return Some(StoreUpdate::Entry(bookmark.clone()));
            }
        }
        (!std::mem::replace(is_up_to_date, true)).then_some(StoreUpdate::UpToDate)
    }
}

#[async_trait]
impl BookmarkExchange for FakeExchange {
    fn publish(&self, bookmark: Bookmark) {
        self.bucket.send_modify(|bucket| bucket.published.push((self.instance, bookmark)));
    }

    async fn next_update(&self) -> StoreUpdate<Bookmark> {
        let mut changes = self.bucket.subscribe();
        loop {
            let update = match self.is_unavailable {
                true if self.progress.lock().is_up_to_date => std::future::pending().await,
                true => {
                    self.progress.lock().is_up_to_date = true;
                    Some(StoreUpdate::Unavailable)
                }
                false => self.next(&changes.borrow_and_update()),
            };
            if let Some(update) = update {
                return update;
            }
            changes.changed().await.expect("the bucket exists");
        }
    }

    async fn close(&self) {}
}

/// Returns metrics that accept all calls.
pub(super) fn any_metrics() -> MockMetrics {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_delivery_completed().return_const(());
    metrics.expect_replayed().return_const(());
    metrics.expect_gap_reported().return_const(());
    metrics.expect_lagging().return_const(());
    metrics.expect_nats_lag().return_const(());
    metrics.expect_keepalive_sent().return_const(());
    metrics.expect_limit_reached().return_const(());
    metrics.expect_bucket_available().return_const(());
    metrics
}

/// Returns metrics that only accept the opening of streams and the connection to NATS.
pub(super) fn plain_metrics() -> MockMetrics {
    let mut metrics = MockMetrics::new();
    metrics.expect_nats_connected().return_const(());
    metrics.expect_stream_opened().return_const(());
    metrics
}

#[tokio::test(start_paused = true)]
async fn clock_meets_obligations() {
    let pause = async || tokio::time::sleep(Duration::from_millis(1)).await;
    obligations::clock(&PausedClock::default(), pause).await;
}

#[tokio::test(start_paused = true)]
async fn lost_exchange_meets_obligations() {
    let first = FakeExchange::default();
    let tested = obligations::bookmark_exchange_that_is_lost(async || first.another(), async || first.lose());
    tokio::time::timeout(s(60), tested).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn exchange_meets_obligations() {
    let first = FakeExchange::default();
    let tested = obligations::bookmark_exchange(async || first.another());
    tokio::time::timeout(s(60), tested).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn preferences_meet_obligations() {
    let first = FakePreferences::default();
    let tested = obligations::language_preferences(async || first.another());
    tokio::time::timeout(s(60), tested).await.expect("in time");
}
