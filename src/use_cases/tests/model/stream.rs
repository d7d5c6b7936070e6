//! A stream of a browser: the frames that were written on it, and the events that it still has to deliver.

use super::*;

/// Tolerance for the clock of NATS and for the time until the next sweep.
const SKEW: Duration = Duration::from_secs(6);
/// A stream that waits for NATS may also deliver events published within this time before it was opened.
const LEEWAY: Duration = Duration::from_secs(10);
/// Maximum jitter by which a stream ends earlier, in percent of its lifetime.
const EARLIER: u32 = 5;

/// An open stream.
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
    owed_after: EventId,
    /// No event up to this one may be delivered.
    pub(super) none_before: EventId,
    /// The last id that was written. At first the last event id of the client.
    at: Option<EventId>,
    /// Whether the stream has to start with a gap.
    owes_gap: bool,
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
pub(super) struct Start {
    pub(super) owed_after: EventId,
    pub(super) none_before: EventId,
    pub(super) at: Option<EventId>,
    pub(super) owes_gap: bool,
    pub(super) continues: bool,
    /// When the client last had everything that was published, if that is known.
    pub(super) up_to_date_at: Option<Instant>,
}

/// The facts by which a stream is judged.
pub(super) struct Judge<'a> {
    pub(super) conditions: &'a Conditions,
    pub(super) ledger: &'a Ledger,
    pub(super) instance: &'a Instance,
    /// The time by the wall clock.
    pub(super) wall: Duration,
    pub(super) step: u64,
}

/// Returns the expected start of a stream of an unknown client.
pub(super) fn fresh(judge: &Judge<'_>, last: EventId) -> Start {
    let opened = WallClock::present();
    let waited_for =
        opened.checked_sub(LEEWAY).and_then(|time| judge.ledger.last_before(time)).unwrap_or(OLDEST);
    let none_before = judge.instance.read.unwrap_or(waited_for);
    Start {
        owed_after: last,
        none_before,
        at: None,
        owes_gap: false,
        continues: false,
        up_to_date_at: Some(opened),
    }
}

impl Stream {
    pub(super) fn new(
        client: Client,
        (instance, judge): (usize, &Judge<'_>),
        kind: BrowserKind,
        start: Start,
        ended_by: HashSet<EventId>,
    ) -> Self {
        let opened = WallClock::present();
        let token = kind.token.map(|token| (judge.wall + s(token), s(token)));
        let Start { owed_after, none_before, at, owes_gap, continues, up_to_date_at } = start;
        Self {
            client,
            instance,
            run: judge.instance.run,
            opened,
            opened_in: judge.step,
            kind,
            token,
            owed_after,
            none_before,
            at,
            owes_gap,
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
    pub(super) fn read(&mut self, judge: &Judge<'_>) -> Result<bool, TestCaseError> {
        let texts = self.client.read();
        let has_read = !texts.is_empty();
        self.judge(texts, judge)?;
        let has_started = self.written.iter().any(|(_, written)| written.id().is_some());
        if has_started && WallClock::present() >= self.refreshed {
            self.up_to_date_at = Some(judge.instance.current);
        }
        Ok(has_read)
    }

    /// Records that the client does not read at present.
    pub(super) fn lag(&mut self, conditions: &Conditions) {
        self.refreshed = WallClock::present() + s(conditions.max_age) / 4 + s(2);
    }

    /// Reads one turn and checks it.
    pub(super) fn read_turn(&mut self, judge: &Judge<'_>) -> Result<(), TestCaseError> {
        let texts = self.client.read_turn();
        self.judge(texts, judge)
    }

    /// Records that the wall clock has jumped.
    pub(super) fn jump(&mut self) {
        self.jumped = Some(WallClock::present());
    }

    /// Returns the first event that was not delivered.
    pub(super) fn owes(&self, ledger: &Ledger) -> Option<EventId> {
        ledger.first_after(self.kind.user, self.at.unwrap_or(self.owed_after))
    }

    fn judge(&mut self, texts: Vec<String>, judge: &Judge<'_>) -> Result<(), TestCaseError> {
        for text in texts {
            let written = Written::read(&text);
            let verdict = match &written {
                Written::Event(id, language) => self.judge_event(*id, language.as_ref(), judge),
                Written::Position(id) => self.judge_position(*id, judge.ledger),
                Written::Gap(id) => self.judge_gap(*id, judge),
                Written::Closing(reason) => self.judge_end(reason, judge),
                Written::Comment => Ok(()),
            };
            self.written.push((WallClock::present(), written));
            verdict.map_err(|fault| {
                TestCaseError::fail(format!("{text:?}: {fault}; {:?}, of {:?}", self.written, self.kind))
            })?;
        }
        Ok(())
    }

    fn judge_event(
        &mut self,
        id: EventId,
        language: Option<&LanguageTag>,
        judge: &Judge<'_>,
    ) -> Result<(), String> {
        let user = self.kind.user;
        let published = judge.ledger.get(id).ok_or("was never published")?;
        check(published.is_for(user), || "is for somebody else".into())?;
        check(!self.owes_gap, || "comes before the gap".into())?;
        check(self.at.is_none_or(|at| id > at), || format!("comes after {:?}", self.at))?;
        check(id > self.none_before, || format!("comes again: it is not after {}", self.none_before))?;
        let missing = judge.ledger.first_between(user, self.at.unwrap_or(self.owed_after), id);
        check(missing.is_none(), || format!("{missing:?} is missing before it"))?;
        check(self.logout.is_none(), || "comes after a logout".into())?;
        if published.kind == Kind::Translated {
            self.judge_language(id, language, judge)?;
        }
        self.at = Some(id);
        if published.kind == Kind::Logout && judge.conditions.close_on_logout && !self.ended_by.contains(&id)
        {
            // The logout may have ended a stream whose connection the client had already lost.
            let may_have_ended_another = self.continues && self.kind.repeats_request_id();
            self.may_end |= may_have_ended_another;
            self.logout = Some(id).filter(|_| !may_have_ended_another);
        }
        Ok(())
    }

    /// Checks that the language applied at some time between the arrival of the event and its delivery.
    fn judge_language(
        &self,
        id: EventId,
        language: Option<&LanguageTag>,
        judge: &Judge<'_>,
    ) -> Result<(), String> {
        let appended = judge.instance.appended.get(&id).copied().unwrap_or_default();
        let requested = if self.kind.asks_for_german { "de" } else { "en" };
        let mut held = judge.instance.chosen_since(self.kind.user, appended.max(self.opened_in));
        let is_right = held.any(|chosen| {
            Some(chosen.map_or(requested, LanguageTag::as_str)) == language.map(LanguageTag::as_str)
        });
        check(is_right, || "is in a wrong language".into())
    }

    fn judge_position(&mut self, id: EventId, ledger: &Ledger) -> Result<(), String> {
        check(!self.owes_gap, || "comes before the gap".into())?;
        check(self.at.is_none_or(|at| id >= at), || format!("comes after {:?}", self.at))?;
        let missing = ledger.first_up_to(self.kind.user, self.at.unwrap_or(self.owed_after), id);
        check(missing.is_none(), || format!("{missing:?} is missing before it"))?;
        self.at = Some(id);
        Ok(())
    }

    fn judge_gap(&mut self, id: EventId, judge: &Judge<'_>) -> Result<(), String> {
        check(self.at.is_none_or(|at| id > at) || self.owes_gap, || format!("comes after {:?}", self.at))?;
        check(self.logout.is_none(), || "comes after a logout".into())?;
        let low = self.at.unwrap_or(self.none_before);
        check(self.owes_gap || self.may_be_missing(low, id, judge), || {
            format!("is a false gap: nothing is missing after {low}")
        })?;
        self.owes_gap = false;
        self.may_end |= !judge.ledger.logouts(self.kind.user, low, id).is_empty();
        self.at = Some(id);
        Ok(())
    }

    /// Returns whether events after `low` and up to `id` may be missing.
    fn may_be_missing(&self, low: EventId, id: EventId, judge: &Judge<'_>) -> bool {
        let Judge { conditions, ledger, instance, .. } = judge;
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

    fn judge_end(&self, reason: &str, judge: &Judge<'_>) -> Result<(), String> {
        let is_due = match reason {
            "Logout" => self.logout.is_some() || self.may_end || self.may_meet_logout_again(judge),
            "Stopping" => judge.instance.is_stopping,
            // Lifetimes are in whole seconds.
            "Expired" => self.token_is_over(EARLIER, s(1), Duration::ZERO, judge),
            "MaxAge" => judge.conditions.max_stream_age.is_some_and(|age| {
                self.jumped.is_some() || self.age() + s(1) >= s(age) * (100 - EARLIER) / 100
            }),
            _ => false,
        };
        check(is_due, || "is no reason to end".into())
    }

    fn may_meet_logout_again(&self, judge: &Judge<'_>) -> bool {
        let logouts = judge.ledger.logouts(self.kind.user, OLDEST, self.at.unwrap_or(OLDEST));
        let read_since = |id| judge.instance.appended.get(id).is_some_and(|step| *step >= self.opened_in);
        !unmet::LOGOUT_ENDS_STREAM_ONCE_ACROSS_INSTANCES && logouts.iter().any(read_since)
    }

    fn age(&self) -> Duration {
        WallClock::present() - self.opened
    }

    fn token_is_over(&self, earlier: u32, sooner: Duration, later: Duration, judge: &Judge<'_>) -> bool {
        self.token.is_some_and(|(until, time)| {
            let early = time * earlier / 100 + sooner;
            judge.wall + early >= until + later
        })
    }

    /// Checks that the stream has ended if it had to.
    pub(super) fn judge_life(&self, judge: &Judge<'_>) -> Result<(), TestCaseError> {
        let late = s(2);
        // A jump is noticed with the next sweep. The age is measured by the wall clock as well.
        let is_known = self.jumped.is_none_or(|jumped| WallClock::present() - jumped >= late);
        let has_token_ended = is_known && self.token_is_over(0, Duration::ZERO, late, judge);
        let max_age = judge.conditions.max_stream_age.filter(|_| self.jumped.is_none());
        let is_too_old = max_age.is_some_and(|age| self.age() >= s(age) + late);
        let has_to_end = has_token_ended || is_too_old;
        prop_assert!(!has_to_end || self.client.is_finishing(), "a stream outlives its end: {:?}", self.kind);
        Ok(())
    }

    /// Returns the logout that has ended the stream.
    pub(super) fn ended_by(&self) -> Option<EventId> {
        let is_logout = |(_, written): &(Instant, Written)| *written == Written::Closing("Logout".into());
        self.logout.filter(|_| self.written.last().is_some_and(is_logout))
    }
}

fn check(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
