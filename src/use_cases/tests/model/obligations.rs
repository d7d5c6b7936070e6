//! Checks that the NATS of the model meets the same obligations as the real one.

use std::sync::atomic::Ordering;

use ports::{
    obligations::{
        self,
        event_source::{self, EventBus, FailingEventBus, Message},
    },
    outbound::{EventSource, LanguagePreferences, StoreUpdate},
};

use super::{nats::*, preferences::FakePreferences, *};

/// The queue, and one instance's source.
struct ModelBus(Mutex<State>);

struct State {
    queue: Queue,
    reader: Reader,
    source: mpsc::UnboundedSender<SourceEvent>,
    is_connected: bool,
}

impl ModelBus {
    fn new() -> Self {
        let (source, _) = mpsc::unbounded_channel();
        let (queue, reader) = (Queue::new(), Reader::default());
        Self(Mutex::new(State { queue, reader, source, is_connected: true }))
    }
}

impl State {
    /// Delivers the new messages to the source.
    fn deliver(&mut self) {
        let Self { queue, reader, .. } = self;
        let mut events = Vec::new();
        if self.is_connected && !reader.is_subscribed {
            events.extend(reader.subscribe(queue, s(60)));
        }
        events.extend(reader.deliver(queue));
        self.send(events);
    }

    fn send(&self, events: Vec<SourceEvent>) {
        for event in events {
            // Fails if the source was closed.
            self.source.send(event).ok();
        }
    }
}

#[async_trait(?Send)]
impl EventBus for ModelBus {
    async fn source(&self) -> Box<dyn EventSource> {
        let mut state = self.0.lock();
        let (source, events) = mpsc::unbounded_channel();
        (state.reader, state.source) = (Reader::default(), source);
        state.deliver();
        Box::new(FakeSource(events))
    }

    async fn publish(&self, message: Message<'_>) -> Option<EventId> {
        let payload = match message {
            Message::Event(content) => Payload::Event {
                recipients: Recipients::Users(vec![user("a")]),
                event_type: EventType::try_new("t").expect("an event type"),
                content: content.into(),
            },
            Message::LanguageChosen => {
                let language = LanguageTag::try_new("de").ok();
                Payload::Language(LanguageChoice { user: user("a"), language, chosen_at: s(1) })
            }
            Message::AccountDisabled | Message::OfAnotherService | Message::Unreadable => return None,
        };
        let mut state = self.0.lock();
        let id = state.queue.publish(payload);
        state.deliver();
        Some(id)
    }

    fn now(&self) -> Instant {
        now()
    }

    async fn let_time_pass(&self) {
        tokio::time::advance(s(7)).await;
    }
}

#[async_trait(?Send)]
impl FailingEventBus for ModelBus {
    async fn interrupt(&self) {
        let mut state = self.0.lock();
        state.is_connected = false;
        let events = state.reader.interrupt();
        state.send(events);
    }

    async fn restore(&self) {
        let mut state = self.0.lock();
        state.is_connected = true;
        state.deliver();
    }

    async fn purge(&self) {
        self.0.lock().queue.purge();
    }

    async fn recreate(&self) {
        let mut state = self.0.lock();
        state.queue.recreate();
        let events = state.reader.interrupt();
        state.send(events);
        state.deliver();
    }
}

async fn meets(obligation: impl AsyncFn(&ModelBus)) {
    let bus = ModelBus::new();
    tokio::time::timeout(s(60), obligation(&bus)).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn source_returns_everything_in_order() {
    meets(event_source::returns_everything_in_order).await;
}

#[tokio::test(start_paused = true)]
async fn source_resumes_after_interruption() {
    meets(event_source::resumes_after_an_interruption).await;
}

#[tokio::test(start_paused = true)]
async fn source_reports_lost_events() {
    meets(event_source::reports_lost_events).await;
}

/// Preferences that read the new entries of the bucket on each call.
struct ModelPreferences {
    preferences: FakePreferences,
    bucket: Arc<Mutex<LanguageBucket>>,
    updates: mpsc::UnboundedSender<StoreUpdate<LanguageChoice>>,
    /// The number of returned choices, and whether `UpToDate` was returned.
    position: Mutex<(usize, bool)>,
}

impl ModelPreferences {
    fn of(bucket: Arc<Mutex<LanguageBucket>>) -> Self {
        let (preferences, updates) = FakePreferences::of(bucket.clone());
        preferences.is_connected.store(true, Ordering::Relaxed);
        Self { preferences, bucket, updates, position: Mutex::default() }
    }
}

#[async_trait]
impl LanguagePreferences for ModelPreferences {
    async fn choose(
        &self,
        user: UserId,
        language: Option<LanguageTag>,
        after: Option<Duration>,
    ) -> Result<LanguageChoice, NotStored> {
        self.preferences.choose(user, language, after).await
    }

    fn keep(&self, choice: LanguageChoice) {
        self.preferences.keep(choice);
    }

    async fn next_update(&self) -> StoreUpdate<LanguageChoice> {
        {
            let (choices, is_up_to_date) = &mut *self.position.lock();
            for choice in &self.bucket.lock().journal[*choices..] {
                *choices += 1;
                self.updates.send(StoreUpdate::Entry(choice.clone())).expect("a receiver");
            }
            if !std::mem::replace(is_up_to_date, true) {
                self.updates.send(StoreUpdate::UpToDate).expect("a receiver");
            }
        }
        self.preferences.next_update().await
    }
}

#[tokio::test(start_paused = true)]
async fn preferences_meet_obligations() {
    let bucket = Arc::<Mutex<LanguageBucket>>::default();
    let tested = obligations::language_preferences(async || ModelPreferences::of(bucket.clone()));
    tokio::time::timeout(s(60), tested).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn clock_meets_obligations() {
    let pause = async || tokio::time::sleep(Duration::from_millis(1)).await;
    obligations::clock(&WallClock::new(), pause).await;
}
