//! What the use cases need from the world, in memory.

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

    fn unix_time(&self) -> Duration {
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
    fn event(&self, notification: &Notification, translation: domain::content::TranslationIndex) -> Frame {
        notification.content.text(translation).to_owned().into()
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

/// A store of choices in memory, whose time is the number of choices, and which may be away.
#[derive(Default)]
pub(super) struct FakePreferences {
    pub(super) store: Arc<watch::Sender<Vec<LanguageChoice>>>,
    pub(super) away: Mutex<bool>,
    /// How many choices have been heard, and whether it was said that these are all.
    heard: Mutex<(usize, bool)>,
}

impl FakePreferences {
    /// The preferences of another instance.
    pub(super) fn another(&self) -> Self {
        Self { store: Arc::clone(&self.store), ..Self::default() }
    }

    fn next(&self, choices: &[LanguageChoice]) -> Option<StoreUpdate<LanguageChoice>> {
        let (position, is_told_that_these_are_all) = &mut *self.heard.lock();
        if let Some(choice) = choices.get(*position) {
            *position += 1;
            return Some(StoreUpdate::Entry(choice.clone()));
        }
        (!std::mem::replace(is_told_that_these_are_all, true)).then_some(StoreUpdate::UpToDate)
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
        if *self.away.lock() {
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
            if let Some(heard) = self.next(&store.borrow_and_update()) {
                return heard;
            }
            store.changed().await.expect("the store is held");
        }
    }
}

/// A place in memory where instances tell each other where streams stood.
#[derive(Default)]
pub(super) struct FakeExchange {
    place: Arc<watch::Sender<Place>>,
    instance: usize,
    heard: Mutex<Listener>,
    /// Whether the place is out of reach of this instance.
    away: bool,
}

#[derive(Default)]
struct Place {
    instances: usize,
    /// What was told, with the number of the instance that has told it.
    told: Vec<(usize, Bookmark)>,
    /// How often what was told was lost.
    losses: usize,
}

/// How far an instance has listened.
#[derive(Default)]
struct Listener {
    bookmarks: usize,
    losses: usize,
    is_told_that_these_are_all: bool,
}

impl FakeExchange {
    /// The exchange of another instance.
    pub(super) fn another(&self) -> Self {
        let place = Arc::clone(&self.place);
        place.send_modify(|place| place.instances += 1);
        let instance = place.borrow().instances;
        let heard = Mutex::new(Listener { losses: place.borrow().losses, ..Listener::default() });
        Self { place, instance, heard, away: false }
    }

    /// An exchange that is out of reach.
    pub(super) fn out_of_reach() -> Self {
        Self { away: true, ..Self::default() }
    }

    /// Loses what was told, as NATS may.
    pub(super) fn lose(&self) {
        self.place.send_modify(|place| {
            place.told.clear();
            place.losses += 1;
        });
    }

    /// What was told, by whomever.
    pub(super) fn told(&self) -> Vec<Bookmark> {
        self.place.borrow().told.iter().map(|(_, bookmark)| bookmark.clone()).collect()
    }

    fn next(&self, place: &Place) -> Option<StoreUpdate<Bookmark>> {
        let Listener { bookmarks, losses, is_told_that_these_are_all } = &mut *self.heard.lock();
        if place.losses > *losses {
            *losses = place.losses;
            (*bookmarks, *is_told_that_these_are_all) = (0, false);
            return Some(StoreUpdate::Recreated);
        }
        while let Some((instance, bookmark)) = place.told.get(*bookmarks) {
            *bookmarks += 1;
            if *instance != self.instance {
                return Some(StoreUpdate::Entry(bookmark.clone()));
            }
        }
        (!std::mem::replace(is_told_that_these_are_all, true)).then_some(StoreUpdate::UpToDate)
    }
}

#[async_trait]
impl BookmarkExchange for FakeExchange {
    fn publish(&self, bookmark: Bookmark) {
        self.place.send_modify(|place| place.told.push((self.instance, bookmark)));
    }

    async fn next_update(&self) -> StoreUpdate<Bookmark> {
        let mut changes = self.place.subscribe();
        loop {
            let heard = match self.away {
                true if self.heard.lock().is_told_that_these_are_all => std::future::pending().await,
                true => {
                    self.heard.lock().is_told_that_these_are_all = true;
                    Some(StoreUpdate::Unavailable)
                }
                false => self.next(&changes.borrow_and_update()),
            };
            if let Some(heard) = heard {
                return heard;
            }
            changes.changed().await.expect("the place is held");
        }
    }

    async fn close(&self) {}
}

/// Metrics that take everything.
pub(super) fn any_metrics() -> MockMetrics {
    let mut metrics = plain_metrics();
    metrics.expect_stream_closed().return_const(());
    metrics.expect_event_received().return_const(());
    metrics.expect_delivered().return_const(());
    metrics.expect_delivery_completed().return_const(());
    metrics.expect_replayed().return_const(());
    metrics.expect_gap_reported().return_const(());
    metrics.expect_lagging().return_const(());
    metrics.expect_keepalive_sent().return_const(());
    metrics.expect_limit_reached().return_const(());
    metrics.expect_bucket_available().return_const(());
    metrics
}

/// Metrics that take no more than that streams are opened and that NATS is there.
pub(super) fn plain_metrics() -> MockMetrics {
    let mut metrics = MockMetrics::new();
    metrics.expect_nats_connected().return_const(());
    metrics.expect_stream_opened().return_const(());
    metrics
}

#[tokio::test(start_paused = true)]
async fn clock_meets_the_obligations_of_its_port() {
    let pause = async || tokio::time::sleep(Duration::from_millis(1)).await;
    obligations::clock(&PausedClock::default(), pause).await;
}

#[tokio::test(start_paused = true)]
async fn exchange_that_is_lost_meets_the_obligations_of_its_port() {
    let first = FakeExchange::default();
    let tested = obligations::bookmark_exchange_that_is_lost(async || first.another(), async || first.lose());
    tokio::time::timeout(s(60), tested).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn exchange_meets_the_obligations_of_its_port() {
    let first = FakeExchange::default();
    let tested = obligations::bookmark_exchange(async || first.another());
    tokio::time::timeout(s(60), tested).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn preferences_meet_the_obligations_of_their_port() {
    let first = FakePreferences::default();
    let tested = obligations::language_preferences(async || first.another());
    tokio::time::timeout(s(60), tested).await.expect("in time");
}
