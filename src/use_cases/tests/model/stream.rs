//! A stream of a browser: the frames that were written on it, and the events that it still has to deliver.

use super::*;

/// Tolerance for the clock of NATS and for the time until the next sweep.
const SKEW: Duration = Duration::from_secs(6);
/// A stream that waits for NATS may also deliver events published within this time before it was opened.
const LEEWAY: Duration = Duration::from_secs(10);
/// Maximum jitter by which a stream ends earlier, in percent of its lifetime.
const EARLIER: u32 = 5;

#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) instance: usize,
    pub(super) run: Run,
    pub(super) opened: Instant,
    opened_in: u64,
    kind: BrowserKind,
    /// The expiry of the token by the wall clock, and its lifetime from the opening of the stream.
    token: Option<(Duration, Duration)>,
    /// Every event after this one has to be delivered.
    expected_after: EventId,
    /// Only events after this one may be delivered.
    pub(super) allowed_after: EventId,
    /// The last id that was written. At first the last event id of the client.
    position: Option<EventId>,
    /// Whether the stream has to start with a gap.
    expects_gap: bool,
    /// Whether the stream continues at the position of its client.
    continues: bool,
    pub(super) written: Vec<(Instant, Written)>,
    /// The logout that was written last, which has to end the stream.
    logout: Option<EventId>,
    /// Whether a logout may end the stream: it is in a gap, or may have ended another stream.
    may_end: bool,
    /// The logouts that have ended streams of the same browser.
    ended_by: HashSet<EventId>,
    /// When the client last had everything that was published. None before the first id was written.
    pub(super) up_to_date_at: Option<Instant>,
    /// The same before this stream was opened. None if it is not known.
    up_to_date_before: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) reads: bool,
    /// The time until which a slow client has got a position refresh.
    refreshed: Instant,
    jumped: Option<Instant>,
}

/// The expected start of a stream.
#[derive(Clone, Copy)]
pub(super) struct ExpectedStart {
    pub(super) expected_after: EventId,
    pub(super) allowed_after: EventId,
    pub(super) position: Option<EventId>,
    pub(super) expects_gap: bool,
    pub(super) continues: bool,
    /// When the client last had everything that was published, if that is known.
    pub(super) up_to_date_at: Option<Instant>,
}

/// The facts against which a stream is checked.
pub(super) struct Facts<'a> {
    pub(super) conditions: &'a Conditions,
    pub(super) ledger: &'a Ledger,
    pub(super) instance: &'a Instance,
    /// The time by the wall clock.
    pub(super) wall: Duration,
    pub(super) step: u64,
}

/// Returns the expected start of a stream of an unknown client.
pub(super) fn start_of_new_client(facts: &Facts<'_>, last: EventId) -> ExpectedStart {
    let opened = WallClock::present();
    let waited_for =
        opened.checked_sub(LEEWAY).and_then(|time| facts.ledger.last_before(time)).unwrap_or(OLDEST);
    let allowed_after = facts.instance.read.unwrap_or(waited_for);
    ExpectedStart {
        expected_after: last,
        allowed_after,
        position: None,
        expects_gap: false,
        continues: false,
        up_to_date_at: Some(opened),
    }
}

impl Stream {
    pub(super) fn new(
        client: Client,
        (instance, facts): (usize, &Facts<'_>),
        kind: BrowserKind,
        start: ExpectedStart,
        ended_by: HashSet<EventId>,
    ) -> Self {
        let opened = WallClock::present();
        let token = kind.token.map(|token| (facts.wall + s(token), s(token)));
        let ExpectedStart { expected_after, allowed_after, position, expects_gap, continues, up_to_date_at } =
            start;
        Self {
            client,
            instance,
            run: facts.instance.run,
            opened,
            opened_in: facts.step,
            kind,
            token,
            expected_after,
            allowed_after,
            position,
            expects_gap,
            continues,
            written: Vec::new(),
            logout: None,
            may_end: false,
            ended_by,
            up_to_date_at: None,
            up_to_date_before: up_to_date_at,
            ended: None,
            reads: true,
            refreshed: opened,
            jumped: None,
        }
    }

    /// Reads everything and checks it. Returns whether there was something to read.
    pub(super) fn read(&mut self, facts: &Facts<'_>) -> Result<bool, TestCaseError> {
        let texts = self.client.read();
        let has_read = !texts.is_empty();
        self.check_frames(texts, facts)?;
        let has_started = self.written.iter().any(|(_, written)| written.id().is_some());
        if has_started && WallClock::present() >= self.refreshed {
            self.up_to_date_at = Some(facts.instance.up_to_date_at);
        }
        Ok(has_read)
    }

    /// Records that the client does not read at present.
    pub(super) fn lag(&mut self, conditions: &Conditions) {
        self.refreshed = WallClock::present() + s(conditions.max_age) / 4 + s(2);
    }

    /// Reads one turn and checks it.
    pub(super) fn read_turn(&mut self, facts: &Facts<'_>) -> Result<(), TestCaseError> {
        let texts = self.client.read_turn();
        self.check_frames(texts, facts)
    }

    /// Records that the wall clock has jumped.
    pub(super) fn jump(&mut self) {
        self.jumped = Some(WallClock::present());
    }

    /// Returns the first event that was not delivered.
    pub(super) fn first_undelivered(&self, ledger: &Ledger) -> Option<EventId> {
        ledger.first_after(self.kind.user, self.position.unwrap_or(self.expected_after))
    }

    fn check_frames(&mut self, texts: Vec<String>, facts: &Facts<'_>) -> Result<(), TestCaseError> {
        for text in texts {
            let written = Written::read(&text);
            let verdict = match &written {
                Written::Event(id, language) => self.check_event(*id, language.as_ref(), facts),
                Written::Position(id) => self.check_position(*id, facts.ledger),
                Written::Gap(id) => self.check_gap(*id, facts),
                Written::Closing(reason) => self.check_closing(reason, facts),
                Written::Comment => Ok(()),
            };
            self.written.push((WallClock::present(), written));
            verdict.map_err(|fault| {
                TestCaseError::fail(format!("{text:?}: {fault}; {:?}, of {:?}", self.written, self.kind))
            })?;
        }
        Ok(())
    }

    fn check_event(
        &mut self,
        id: EventId,
        language: Option<&LanguageTag>,
        facts: &Facts<'_>,
    ) -> Result<(), String> {
        let user = self.kind.user;
        let published = facts.ledger.get(id).ok_or("was never published")?;
        ensure(published.is_for(user), || "is for another user".into())?;
        ensure(!self.expects_gap, || "precedes the gap".into())?;
        ensure(self.position.is_none_or(|position| id > position), || {
            format!("does not follow {:?}", self.position)
        })?;
        ensure(id > self.allowed_after, || {
            format!("was delivered before: it is not after {}", self.allowed_after)
        })?;
        let missing = facts.ledger.first_between(user, self.position.unwrap_or(self.expected_after), id);
        ensure(missing.is_none(), || format!("{missing:?} is missing before it"))?;
        ensure(self.logout.is_none(), || "follows a logout".into())?;
        if published.kind == Kind::Translated {
            self.check_language(id, language, facts)?;
        }
        self.position = Some(id);
        if published.kind == Kind::Logout && facts.conditions.close_on_logout && !self.ended_by.contains(&id)
        {
            // The logout may have ended a stream whose connection the client had already lost.
            let may_have_ended_another = self.continues && self.kind.repeats_request_id();
            self.may_end |= may_have_ended_another;
            self.logout = Some(id).filter(|_| !may_have_ended_another);
        }
        Ok(())
    }

    /// Checks that the language applied at some time between the arrival of the event and its delivery.
    fn check_language(
        &self,
        id: EventId,
        language: Option<&LanguageTag>,
        facts: &Facts<'_>,
    ) -> Result<(), String> {
        let appended = facts.instance.appended.get(&id).copied().unwrap_or_default();
        let requested = if self.kind.asks_for_german { "de" } else { "en" };
        let mut held = facts.instance.chosen_since(self.kind.user, appended.max(self.opened_in));
        let is_right = held.any(|chosen| {
            Some(chosen.map_or(requested, LanguageTag::as_str)) == language.map(LanguageTag::as_str)
        });
        ensure(is_right, || "is in a wrong language".into())
    }

    fn check_position(&mut self, id: EventId, ledger: &Ledger) -> Result<(), String> {
        ensure(!self.expects_gap, || "precedes the gap".into())?;
        ensure(self.position.is_none_or(|position| id >= position), || {
            format!("does not follow {:?}", self.position)
        })?;
        let missing = ledger.first_up_to(self.kind.user, self.position.unwrap_or(self.expected_after), id);
        ensure(missing.is_none(), || format!("{missing:?} is missing before it"))?;
        self.position = Some(id);
        Ok(())
    }

    fn check_gap(&mut self, id: EventId, facts: &Facts<'_>) -> Result<(), String> {
        ensure(self.position.is_none_or(|position| id > position) || self.expects_gap, || {
            format!("does not follow {:?}", self.position)
        })?;
        ensure(self.logout.is_none(), || "follows a logout".into())?;
        let low = self.position.unwrap_or(self.allowed_after);
        ensure(self.expects_gap || self.may_be_missing(low, id, facts), || {
            format!("is a false gap: nothing is missing after {low}")
        })?;
        self.expects_gap = false;
        self.may_end |= !facts.ledger.logouts(self.kind.user, low, id).is_empty();
        self.position = Some(id);
        Ok(())
    }

    /// Returns whether events after `low` and up to `id` may be missing.
    fn may_be_missing(&self, low: EventId, id: EventId, facts: &Facts<'_>) -> bool {
        let Facts { conditions, ledger, instance, .. } = facts;
        let is_returning = self.continues && self.up_to_date_at.is_none();
        let reaches_back = |up_to_date_at: Instant| {
            // The position is refreshed four times within the maximum age of the log.
            WallClock::present() - up_to_date_at + SKEW <= s(conditions.max_age) * 3 / 4
                && !ledger.fills(conditions.max_bytes, up_to_date_at)
        };
        low.incarnation != id.incarnation
            || ledger.first_up_to(self.kind.user, low, id).is_some()
            // The instance does not know which messages NATS has lost.
            || instance.reader.lost.iter().any(|(after, last)| *after < id && low < *last)
            || is_returning && !self.up_to_date_before.is_some_and(reaches_back)
            || !unmet::NO_FALSE_GAP_FOR_OTHER_MESSAGES && ledger.has_other_messages(low, id)
    }

    fn check_closing(&self, reason: &str, facts: &Facts<'_>) -> Result<(), String> {
        let is_due = match reason {
            "Logout" => self.logout.is_some() || self.may_end || self.may_read_logout_again(facts),
            "Stopping" => facts.instance.is_stopping,
            // Lifetimes are in whole seconds.
            "Expired" => self.token_is_over(EARLIER, s(1), Duration::ZERO, facts),
            "MaxAge" => facts.conditions.max_stream_age.is_some_and(|age| {
                self.jumped.is_some() || self.age() + s(1) >= s(age) * (100 - EARLIER) / 100
            }),
            _ => false,
        };
        ensure(is_due, || "is no reason to end".into())
    }

    fn may_read_logout_again(&self, facts: &Facts<'_>) -> bool {
        let logouts = facts.ledger.logouts(self.kind.user, OLDEST, self.position.unwrap_or(OLDEST));
        let read_since = |id| facts.instance.appended.get(id).is_some_and(|step| *step >= self.opened_in);
        !unmet::LOGOUT_ENDS_STREAM_ONCE_ACROSS_INSTANCES && logouts.iter().any(read_since)
    }

    fn age(&self) -> Duration {
        WallClock::present() - self.opened
    }

    fn token_is_over(&self, earlier: u32, sooner: Duration, later: Duration, facts: &Facts<'_>) -> bool {
        self.token.is_some_and(|(until, time)| {
            let early = time * earlier / 100 + sooner;
            facts.wall + early >= until + later
        })
    }

    /// Checks that the stream has ended if it had to.
    pub(super) fn check_lifetime(&self, facts: &Facts<'_>) -> Result<(), TestCaseError> {
        let late = s(2);
        // A jump is noticed with the next sweep. The age is measured by the wall clock as well.
        let is_known = self.jumped.is_none_or(|jumped| WallClock::present() - jumped >= late);
        let has_token_ended = is_known && self.token_is_over(0, Duration::ZERO, late, facts);
        let max_age = facts.conditions.max_stream_age.filter(|_| self.jumped.is_none());
        let is_too_old = max_age.is_some_and(|age| self.age() >= s(age) + late);
        let has_to_end = has_token_ended || is_too_old;
        prop_assert!(
            !has_to_end || self.client.is_finishing(),
            "a stream is open after its end: {:?}",
            self.kind
        );
        Ok(())
    }

    /// Returns the logout that has ended the stream.
    pub(super) fn ended_by(&self) -> Option<EventId> {
        let is_logout = |(_, written): &(Instant, Written)| *written == Written::Closing("Logout".into());
        self.logout.filter(|_| self.written.last().is_some_and(is_logout))
    }
}

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
