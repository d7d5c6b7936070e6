//! An instance of the service: the use cases with fakes of their outbound ports.

use std::sync::atomic::{AtomicI64, Ordering};

use domain::bookmark::Bookmark;
use ports::{
    inbound::ChooseLanguage as _,
    outbound::{Clock, StoreUpdate},
};

use super::{nats::*, preferences::FakePreferences, *};
use crate::use_cases::tests::fakes::NoTraces;

/// The clock of every instance, whose wall clock may jump.
pub(super) struct WallClock {
    started: Instant,
    jumped: AtomicI64,
}

/// The start of the model, in seconds since 1970.
const STARTED: i64 = 1_000_000;

impl WallClock {
    pub(super) fn new() -> Self {
        Self { started: Self::present(), jumped: AtomicI64::new(0) }
    }

    pub(super) fn present() -> Instant {
        now()
    }

    pub(super) fn jump(&self, seconds: i64) {
        self.jumped.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for WallClock {
    fn now(&self) -> Instant {
        Self::present()
    }

    fn unix_time(&self) -> Duration {
        let offset = s(u64::try_from(STARTED + self.jumped.load(Ordering::Relaxed)).unwrap_or_default());
        offset + (Self::present() - self.started)
    }
}

/// One run of an instance, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run(pub(super) u64);

/// An instance that runs.
pub(super) struct Instance {
    pub(super) run: Run,
    pub(super) subscriptions: Subscriptions,
    languages: LanguageChoices,
    pub(super) reader: Reader,
    /// The last message that the relay has read. None until it has read all recent ones.
    pub(super) read: Option<EventId>,
    pub(super) started: Instant,
    /// When the instance last had everything that was published.
    pub(super) up_to_date_at: Instant,
    pub(super) is_stopping: bool,
    source: mpsc::UnboundedSender<SourceEvent>,
    exchange: Arc<FakeExchange>,
    bookmarks: mpsc::UnboundedSender<StoreUpdate<Bookmark>>,
    preferences: Arc<FakePreferences>,
    choices: mpsc::UnboundedSender<StoreUpdate<LanguageChoice>>,
    /// The number of entries read from the buckets of bookmarks and of languages.
    pub(super) entries_read: (usize, usize),
    is_up_to_date: bool,
    /// The step in which each event was appended.
    pub(super) appended: HashMap<EventId, u64>,
    /// The choices of each user that the instance knows, with the step from which it knows them.
    chosen: [Vec<(u64, Duration, Option<LanguageTag>)>; USERS.len()],
    tasks: Vec<JoinHandle<()>>,
}

impl Instance {
    pub(super) fn start(
        run: Run,
        conditions: &Conditions,
        clock: Arc<WallClock>,
        languages: Arc<Mutex<LanguageBucket>>,
    ) -> Self {
        let history = conditions.keeps_history();
        let policy = StreamPolicy {
            log: LogLimits { max_age: s(conditions.max_age), max_bytes: conditions.max_bytes },
            resume_window: if history { RESUME_WINDOW } else { Duration::ZERO },
            unacknowledged: UNACKNOWLEDGED,
            max_age: conditions.max_stream_age.map(s),
            close_on_logout: conditions.close_on_logout,
            ..POLICY
        };
        let (bookmarks, updates) = mpsc::unbounded_channel();
        let exchange = Arc::new(FakeExchange { updates: updates.into(), published: Mutex::default() });
        let metrics = Arc::new(any_metrics());
        let subscriptions = Subscriptions::new(
            policy,
            LanguageTag::default(),
            Arc::new(LabelledFrames),
            metrics.clone(),
            clock.clone(),
            history.then(|| exchange.clone() as Arc<dyn BookmarkExchange>),
        );
        let (preferences, choices) = FakePreferences::of(languages);
        let preferences = Arc::new(preferences);
        let languages =
            LanguageChoices { subscriptions: subscriptions.clone(), preferences: preferences.clone() };
        let (source, events) = mpsc::unbounded_channel();
        let relay = Relay {
            subscriptions: subscriptions.clone(),
            languages: languages.clone(),
            metrics,
            clock,
            status: Arc::default(),
            traces: Arc::new(NoTraces),
        };
        let tasks = vec![
            tokio::spawn(relay.run(Box::new(FakeSource(events)), std::future::pending())),
            tokio::spawn(subscriptions.clone().maintain()),
            tokio::spawn(subscriptions.clone().follow(exchange.clone())),
            tokio::spawn(languages.clone().follow()),
        ];
        Self {
            run,
            subscriptions,
            languages,
            reader: Reader::default(),
            read: None,
            started: WallClock::present(),
            up_to_date_at: WallClock::present(),
            is_stopping: false,
            source,
            exchange,
            bookmarks,
            preferences,
            choices,
            entries_read: (0, 0),
            is_up_to_date: false,
            appended: HashMap::new(),
            chosen: [(); USERS.len()].map(|()| vec![(0, Duration::ZERO, None)]),
            tasks,
        }
    }

    /// Records that the relay has read everything that was delivered.
    pub(super) fn has_read(&mut self) {
        self.read = self.reader.last().filter(|_| self.reader.has_filled());
        if self.reader.is_subscribed && self.reader.held == Held::No {
            self.up_to_date_at = WallClock::present();
        }
    }

    /// Returns whether the first reading is complete, so that streams can start.
    pub(super) fn has_started(&self) -> bool {
        self.read.is_some() && self.is_up_to_date
    }

    /// Passes `events` to the relay in the step `now`.
    pub(super) fn receive(&mut self, events: Vec<SourceEvent>, now: u64) {
        for event in events {
            match &event {
                SourceEvent::Notification { notification, .. } => {
                    self.appended.insert(notification.id, now);
                }
                SourceEvent::LanguageChosen(choice) => self.note_choice(choice, now),
                _ => {}
            }
            self.source.send(event).expect("the relay runs");
        }
    }

    fn note_choice(&mut self, LanguageChoice { user, language, chosen_at }: &LanguageChoice, now: u64) {
        let number = USERS.iter().position(|name| *name == user.as_str()).expect("a user");
        let known = &mut self.chosen[number];
        if known.last().is_some_and(|(_, last, _)| last < chosen_at) {
            known.push((now, *chosen_at, language.clone()));
        }
    }

    /// Returns the choices of `user` that applied at some time from the step `from` on. The order within a step is not known.
    pub(super) fn chosen_since(&self, user: usize, from: u64) -> impl Iterator<Item = Option<&LanguageTag>> {
        let known = &self.chosen[user];
        let first = known.partition_point(|(since, ..)| *since < from).saturating_sub(1);
        known[first..].iter().map(|(_, _, language)| language.as_ref())
    }

    pub(super) async fn choose(&mut self, user: &UserId, language: Option<LanguageTag>, now: u64) {
        if self.languages.choose(user.clone(), language.clone()).await.is_ok() {
            let chosen_at = self.preferences.bucket.lock().journal.last().expect("stored").chosen_at;
            self.note_choice(&LanguageChoice { user: user.clone(), language, chosen_at }, now);
        }
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.preferences.is_connected.store(is_connected, Ordering::Relaxed);
    }

    /// Reads the new entries of the buckets.
    pub(super) fn follow(&mut self, bookmarks: &BookmarkBucket, now: u64) {
        for entry in &bookmarks.published[self.entries_read.0..] {
            if entry.by != self.run && WallClock::present() - entry.at < RESUME_WINDOW {
                self.bookmarks.send(StoreUpdate::Entry(entry.bookmark.clone())).expect("a receiver");
            }
        }
        let choices = self.preferences.bucket.lock().journal[self.entries_read.1..].to_vec();
        self.entries_read.0 = bookmarks.published.len();
        self.entries_read.1 += choices.len();
        for choice in choices {
            self.note_choice(&choice, now);
            self.choices.send(StoreUpdate::Entry(choice)).expect("a receiver");
        }
        if !std::mem::replace(&mut self.is_up_to_date, true) {
            self.bookmarks.send(StoreUpdate::UpToDate).expect("a receiver");
            self.choices.send(StoreUpdate::UpToDate).expect("a receiver");
        }
    }

    /// Returns the bookmarks published since the last call.
    pub(super) fn take_bookmarks(&self) -> Vec<Bookmark> {
        std::mem::take(&mut *self.exchange.published.lock())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The exchange of bookmarks: those received from other instances, and those published by this one.
struct FakeExchange {
    updates: tokio::sync::Mutex<mpsc::UnboundedReceiver<StoreUpdate<Bookmark>>>,
    published: Mutex<Vec<Bookmark>>,
}

#[async_trait]
impl BookmarkExchange for FakeExchange {
    fn publish(&self, bookmark: Bookmark) {
        self.published.lock().push(bookmark);
    }

    async fn next_update(&self) -> StoreUpdate<Bookmark> {
        match self.updates.lock().await.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) {}
}
