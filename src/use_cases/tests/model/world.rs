//! The world: takes the steps and checks the ledger at the end.

use super::{nats::Held, *};

/// The instances, and the browsers.
pub(super) struct World {
    cluster: Cluster,
    browsers: Vec<Browser>,
}

/// Time between two deliveries of new messages while time passes.
const TICK: Duration = Duration::from_millis(500);
/// The drain timeout of a stopping instance.
const DRAIN: Duration = Duration::from_secs(2);

/// Takes the steps, reconnects all browsers, reads everything and checks the ledger.
pub(super) async fn run(conditions: Conditions, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let browsers = conditions.browsers.map(Browser::new).into();
    let mut world = World { cluster: Cluster::new(conditions), browsers };
    for instance in 0..INSTANCES {
        world.cluster.start(instance);
    }
    world.wait(s(1)).await?;
    for step in steps {
        world.take(step).await?;
    }
    world.check_ledger().await
}

impl World {
    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.cluster.step += 1;
        match step {
            Step::Publish { users, kind, at_once } => {
                self.cluster.publish(users, kind);
                if !at_once {
                    return Ok(());
                }
            }
            Step::Connect { browser, instance, sent_id } => {
                self.connect(browser, instance, sent_id)?;
                // Does not run_until_idle, so that earlier messages and the next step coincide with the opening of the stream.
                return Ok(());
            }
            Step::Lose { browser, lost, is_noticed } => {
                self.lose(browser, Duration::from_millis(lost), is_noticed);
            }
            Step::Read { browser, reads } => {
                if let Some(stream) = &mut self.browsers[browser].stream {
                    stream.reads = reads;
                }
            }
            Step::ReadTurn { browser } => {
                if let Some(stream) = &mut self.browsers[browser].stream {
                    stream.read_turn(&self.cluster.facts(stream.instance))?;
                }
            }
            Step::Choose { user: number, language, instance } => {
                let language = language.map(|text| LanguageTag::try_new(text).expect("a language tag"));
                let step = self.cluster.step;
                match instance.map(|instance| self.cluster.instances[instance].as_mut()) {
                    Some(Some(instance)) => instance.choose(&user(USERS[number]), language, step).await,
                    Some(None) => {}
                    None => self.cluster.choose_elsewhere(USERS[number], language),
                }
            }
            Step::Disconnect { instance } => self.cluster.cut(instance),
            Step::Reconnect { instance } => self.cluster.restore(instance),
            Step::Hold { instance, is_short } => self.cluster.hold(instance, is_short),
            Step::Release { instance } => self.cluster.release(instance),
            Step::Purge => self.cluster.purge(),
            Step::Recreate => self.cluster.recreate(),
            Step::Stop { instance } => self.stop(instance).await?,
            Step::Kill { instance } => self.kill(instance),
            Step::Start { instance } => self.cluster.start(instance),
            Step::Wait { milliseconds } => self.wait(Duration::from_millis(milliseconds)).await?,
            Step::JumpWallClock { seconds } => {
                self.cluster.clock.jump(seconds);
                for browser in &mut self.browsers {
                    let lost = browser.lost.iter_mut().map(|(stream, _)| stream);
                    browser.stream.iter_mut().chain(lost).for_each(Stream::jump);
                }
            }
            Step::SetNatsClock { ahead } => self.cluster.queue.ahead = ahead,
        }
        self.run_until_idle().await
    }

    fn connect(&mut self, number: usize, instance: usize, sent_id: SentId) -> Result<(), TestCaseError> {
        let (cluster, browser) = (&self.cluster, &mut self.browsers[number]);
        let Some(running) = cluster.instances[instance].as_ref().filter(|_| browser.stream.is_none()) else {
            return Ok(());
        };
        let waits = cluster.conditions.keeps_history() || unmet::STREAM_WAITS_FOR_NATS_WITHOUT_HISTORY;
        if running.read.is_none() && !waits {
            return Ok(());
        }
        let is_ahead = browser.kind.returns != Returns::Nothing
            && running.reader.last().is_some_and(|last| last.incarnation < browser.incarnation());
        if is_ahead && !unmet::INSTANCE_WAITS_FOR_RECREATED_QUEUE {
            return Ok(());
        }
        // With a request id, an invalid last event id would become the position of the stream.
        let sent_id = if browser.kind.repeats_request_id() { SentId::Usual } else { sent_id };
        let facts = cluster.facts(instance);
        let name = number.to_string();
        let has_received = |last: &LastStream| {
            let read = cluster.bookmarks.published[..running.entries_read.0].iter().rev();
            let mut of_last =
                read.filter(|entry| entry.by == last.run && entry.bookmark.request.as_str() == name);
            of_last.next().is_some_and(|entry| last.ended.is_some_and(|ended| entry.at + s(1) >= ended))
        };
        let is_known = cluster.conditions.keeps_history() && browser.is_known(running.run, has_received);
        let (last_event_id, start) = browser.start(sent_id, is_known, cluster.queue.last(), &facts);
        let BrowserKind { user: of, token, asks_for_german, .. } = browser.kind;
        let until = token.map_or(Duration::MAX, |token| facts.wall + s(token));
        let request = StreamRequest {
            principal: Principal {
                user: user(USERS[of]),
                issued_at: IssuedAt::UNKNOWN,
                expires_at: until,
                session_id: None,
            },
            last_event_id,
            request: browser
                .kind
                .repeats_request_id()
                .then(|| RequestId::try_new(&name).expect("a request id")),
            accept_language: asks_for_german
                .then(|| LanguagePriorityList::from_accept_language("de").expect("a language")),
            types: None,
        };
        let connection = Arc::<FakeConnection>::default();
        match running.subscriptions.subscribe(request, connection.clone()) {
            Ok(subscription) => {
                let client = Client::new(subscription, connection);
                // A stream that continues no other is a new one.
                let continues = is_known && browser.kind.repeats_request_id();
                let ended_by = if continues { browser.ended_by.clone() } else { HashSet::new() };
                browser.open(Stream::new(client, (instance, &facts), browser.kind, start, ended_by));
            }
            Err(rejected) => prop_assert!(running.is_stopping, "rejected: {rejected}"),
        }
        Ok(())
    }

    fn lose(&mut self, number: usize, lost: Duration, is_noticed: bool) {
        let browser = &mut self.browsers[number];
        let Some(mut stream) = browser.lose(lost) else { return };
        if is_noticed {
            end(browser, stream);
        } else {
            let noticed_by = Browser::noticed_by(&stream, lost);
            stream.up_to_date_at = None;
            browser.lost.push((stream, noticed_by));
        }
    }

    /// Disconnects all browsers from `instance`.
    fn disconnect(&mut self, instance: usize) {
        for browser in &mut self.browsers {
            let (lost, others) = std::mem::take(&mut browser.lost)
                .into_iter()
                .partition::<Vec<_>, _>(|(stream, _)| stream.instance == instance);
            browser.lost = others;
            for (stream, _) in lost {
                end(browser, stream);
            }
            if browser.stream.as_ref().is_some_and(|stream| stream.instance == instance)
                && let Some(stream) = browser.lose(Duration::ZERO)
            {
                end(browser, stream);
            }
        }
    }

    fn kill(&mut self, instance: usize) {
        self.disconnect(instance);
        // A killed instance publishes no bookmarks.
        self.cluster.instances[instance] = None;
    }

    async fn stop(&mut self, number: usize) -> Result<(), TestCaseError> {
        let Some(instance) = &mut self.cluster.instances[number] else { return Ok(()) };
        instance.is_stopping = true;
        let subscriptions = instance.subscriptions.clone();
        let draining = tokio::spawn(async move { subscriptions.drain(DRAIN).await });
        self.wait(DRAIN + s(1)).await?;
        prop_assert!(draining.is_finished());
        // Clients that have not read the end are disconnected.
        self.disconnect(number);
        self.cluster.collect();
        self.cluster.instances[number] = None;
        Ok(())
    }

    async fn wait(&mut self, time: Duration) -> Result<(), TestCaseError> {
        let until = WallClock::present() + time;
        while WallClock::present() < until {
            tokio::time::sleep(TICK.min(until - WallClock::present())).await;
            self.cluster.deliver();
            for browser in &mut self.browsers {
                let present = WallClock::present();
                let (over, others) = std::mem::take(&mut browser.lost)
                    .into_iter()
                    .partition::<Vec<_>, _>(|(_, noticed_by)| *noticed_by <= present + TICK);
                browser.lost = others;
                for (stream, _) in over {
                    end(browser, stream);
                }
            }
            self.run_until_idle().await?;
        }
        Ok(())
    }

    /// Runs all tasks and browsers until nothing happens any more. A few milliseconds pass.
    async fn run_until_idle(&mut self) -> Result<(), TestCaseError> {
        let mut has_read = true;
        while has_read {
            tokio::time::sleep(Duration::from_millis(10)).await;
            has_read = false;
            let cluster = &mut self.cluster;
            cluster.instances.iter_mut().flatten().for_each(Instance::has_read);
            for browser in &mut self.browsers {
                let lost = browser.lost.iter_mut().map(|(stream, _)| stream);
                for stream in browser.stream.iter_mut().chain(lost) {
                    let facts = cluster.facts(stream.instance);
                    if stream.reads {
                        has_read |= stream.read(&facts)?;
                    } else {
                        stream.lag(facts.conditions);
                    }
                    stream.check_lifetime(&facts)?;
                    if stream.client.is_finishing() {
                        stream.ended.get_or_insert_with(WallClock::present);
                    }
                }
                browser.record_unnoticed_end();
                if browser.stream.as_ref().is_some_and(|stream| stream.client.ended().is_some())
                    && let Some(stream) = browser.lose(Duration::ZERO)
                {
                    end(browser, stream);
                }
            }
            cluster.collect();
        }
        self.cluster.check_limits()
    }

    /// Reconnects all browsers and checks that every event was delivered. Then checks that the logs keep nothing for closed streams.
    async fn check_ledger(&mut self) -> Result<(), TestCaseError> {
        self.cluster.step += 1;
        for instance in 0..INSTANCES {
            self.cluster.start(instance);
            self.cluster.release(instance);
            self.cluster.restore(instance);
        }
        self.wait(s(2)).await?;
        // Repeated, because each missed logout ends a stream, as does an expired token.
        for _ in 0..20 {
            for number in 0..BROWSERS {
                if let Some(stream) = &mut self.browsers[number].stream {
                    stream.reads = true;
                }
                self.connect(number, number % INSTANCES, SentId::Usual)?;
            }
            self.wait(s(2)).await?;
            if self.browsers.iter().all(|browser| browser.stream.is_some()) {
                break;
            }
        }
        self.cluster.publish(0b111, Kind::Small);
        self.run_until_idle().await?;
        for browser in &self.browsers {
            match &browser.stream {
                Some(stream) => {
                    let missing = stream.first_undelivered(&self.cluster.ledger);
                    prop_assert!(
                        missing.is_none(),
                        "{missing:?} was not delivered; {:?}, of {:?}",
                        stream.written,
                        browser.kind
                    );
                }
                None => prop_assert!(false, "a browser has no stream: {:?}", browser.kind),
            }
        }
        for instance in 0..INSTANCES {
            self.disconnect(instance);
        }
        tokio::time::sleep(s(self.cluster.conditions.max_age) + UNACKNOWLEDGED + s(3)).await;
        for instance in self.cluster.instances.iter().flatten() {
            assert_eq!(instance.reader.held, Held::No);
            let held = instance.subscriptions.recent_events(None, usize::MAX);
            prop_assert!(held.is_empty(), "still held: {held:?}");
        }
        Ok(())
    }
}

/// Records that the service has noticed the end of a stream.
fn end(browser: &mut Browser, mut stream: Stream) {
    stream.ended.get_or_insert_with(WallClock::present);
    browser.record_end(&stream);
}
