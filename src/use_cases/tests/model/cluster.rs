//! Two instances that share one NATS.

use domain::content::Translation;

use super::{nats::*, *};

/// The instances, and NATS.
pub(super) struct Cluster {
    pub(super) conditions: Conditions,
    pub(super) ledger: Ledger,
    pub(super) queue: Queue,
    pub(super) bookmarks: BookmarkBucket,
    languages: Arc<Mutex<LanguageBucket>>,
    pub(super) clock: Arc<WallClock>,
    pub(super) instances: [Option<Instance>; INSTANCES],
    /// Whether each instance has a connection to NATS.
    is_connected: [bool; INSTANCES],
    /// The number of the current step.
    pub(super) step: u64,
    runs: u64,
}

/// The duration of a short delay of an instance. It is shorter than the time for which a stream waits for an event.
const SHORT_DELAY: Duration = Duration::from_millis(300);

impl Cluster {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            ledger: Ledger::default(),
            queue: Queue::new(),
            bookmarks: BookmarkBucket::default(),
            languages: Arc::default(),
            clock: Arc::new(WallClock::new()),
            instances: [None, None],
            is_connected: [true; INSTANCES],
            step: 0,
            runs: 0,
        }
    }

    /// Returns the facts by which the streams of `instance` are judged.
    pub(super) fn facts(&self, instance: usize) -> Facts<'_> {
        Facts {
            conditions: &self.conditions,
            ledger: &self.ledger,
            instance: self.instances[instance].as_ref().expect("a running instance"),
            wall: self.clock.unix_time(),
            step: self.step,
        }
    }

    pub(super) fn start(&mut self, number: usize) {
        if self.instances[number].is_none() {
            self.runs += 1;
            let instance =
                Instance::start(Run(self.runs), &self.conditions, self.clock.clone(), self.languages.clone());
            instance.set_connected(self.is_connected[number]);
            self.instances[number] = Some(instance);
        }
    }

    pub(super) fn cut(&mut self, number: usize) {
        self.is_connected[number] = false;
        if let Some(instance) = &mut self.instances[number] {
            instance.set_connected(false);
            let events = instance.reader.interrupt();
            instance.receive(events, self.step);
        }
    }

    pub(super) fn restore(&mut self, number: usize) {
        self.is_connected[number] = true;
        if let Some(instance) = &mut self.instances[number] {
            instance.set_connected(true);
        }
        self.deliver();
    }

    pub(super) fn hold(&mut self, number: usize, is_short: bool) {
        let Some(instance) = &mut self.instances[number] else { return };
        let reader = &mut instance.reader;
        if reader.held != Held::No {
            return;
        }
        reader.held = if is_short { Held::Until(WallClock::present() + SHORT_DELAY) } else { Held::Lagging };
        if !is_short && reader.is_subscribed && reader.has_filled() {
            instance.receive(vec![SourceEvent::Lag { messages: 20_000 }], self.step);
        }
    }

    pub(super) fn release(&mut self, number: usize) {
        if let Some(instance) = &mut self.instances[number] {
            let events = instance.reader.release(&self.queue);
            instance.receive(events, self.step);
        }
    }

    /// Returns whether NATS may lose its messages in this state of the model.
    fn may_lose(&self) -> bool {
        self.instances.iter().flatten().all(Instance::has_started) || unmet::FIRST_READ_REPORTS_LOST_EVENTS
    }

    pub(super) fn purge(&mut self) {
        if self.may_lose() {
            self.queue.purge();
        }
    }

    pub(super) fn recreate(&mut self) {
        if !self.may_lose() {
            return;
        }
        self.queue.recreate();
        for instance in self.instances.iter_mut().flatten() {
            let events = instance.reader.interrupt();
            instance.receive(events, self.step);
        }
    }

    pub(super) fn publish(&mut self, users: u8, kind: Kind) {
        let is_named = |number: &usize| users & (1 << number) != 0;
        let recipients = if (0..USERS.len()).all(|number| is_named(&number)) {
            Recipients::Everyone
        } else {
            (0..USERS.len()).filter(is_named).map(|number| user(USERS[number])).collect()
        };
        let event_type = if kind == Kind::Logout { "backchannel-logout" } else { "t" };
        let event_type = EventType::try_new(event_type).expect("an event type");
        let content = content(kind);
        let published = PublishedEvent::new(users, kind, &content);
        let id = self.queue.publish(Payload::Event { recipients, event_type, content });
        self.ledger.add(id, published);
        self.deliver_new();
    }

    /// Publishes a choice that a user has made in the platform's settings.
    pub(super) fn choose_elsewhere(&mut self, name: &str, language: Option<LanguageTag>) {
        let chosen_at = self.languages.lock().now();
        self.queue.publish(Payload::Language(LanguageChoice { user: user(name), language, chosen_at }));
        self.deliver_new();
    }

    /// Delivers new messages to every connected instance.
    fn deliver_new(&mut self) {
        for instance in self.instances.iter_mut().flatten() {
            let events = instance.reader.deliver(&self.queue);
            instance.receive(events, self.step);
        }
    }

    /// Subscribes every connected instance, if necessary, and delivers new messages to it.
    pub(super) fn deliver(&mut self) {
        // A source reads the events that were recent when it was created.
        let recently = self.conditions.keeps_history().then(|| s(self.conditions.max_age));
        for (instance, is_connected) in self.instances.iter_mut().zip(self.is_connected) {
            let Some(instance) = instance.as_mut().filter(|_| is_connected) else { continue };
            if instance.reader.is_subscribed {
                instance.follow(&self.bookmarks, self.step);
            } else {
                // The buckets are read with the next step.
                let recently = recently.map(|recently| recently + (WallClock::present() - instance.started));
                let events = instance.reader.subscribe(&self.queue, recently.unwrap_or_default());
                instance.receive(events, self.step);
            }
        }
        self.deliver_new();
    }

    /// Stores the bookmarks of connected instances in the bucket.
    pub(super) fn collect(&mut self) {
        for (instance, is_connected) in self.instances.iter().zip(self.is_connected) {
            let Some(instance) = instance else { continue };
            let at = WallClock::present();
            let bookmarks = instance.take_bookmarks().into_iter().filter(|_| is_connected);
            self.bookmarks.published.extend(bookmarks.map(|bookmark| PublishedBookmark {
                bookmark,
                by: instance.run,
                at,
            }));
        }
    }

    /// Checks that the logs keep to their limits.
    pub(super) fn check_limits(&self) -> Result<(), TestCaseError> {
        let Conditions { max_age, max_bytes, .. } = self.conditions;
        for instance in self.instances.iter().flatten() {
            let held = instance.subscriptions.recent_events(None, usize::MAX);
            let bytes = held.iter().filter_map(|event| Some(self.ledger.get(event.id)?.bytes)).sum::<usize>();
            prop_assert!(bytes <= max_bytes || held.len() == 1, "the log holds {bytes} bytes");
            let oldest = held.iter().map(|event| event.age).max().unwrap_or_default();
            prop_assert!(max_age == 0 || oldest < s(max_age + 2), "the log holds what is {oldest:?} old");
        }
        Ok(())
    }
}

fn content(kind: Kind) -> Content {
    match kind {
        Kind::Small | Kind::Logout => "-".into(),
        Kind::Medium => format!("-{}", " ".repeat(2000)).into(),
        Kind::Large => large("-").into(),
        Kind::Translated => {
            let german = Translation {
                language: LanguageTag::try_new("de").expect("a language tag"),
                text: "de".to_owned(),
            };
            Content::new(Some("en".to_owned()), Some(LanguageTag::default()), vec![german])
        }
    }
}
