//! One stream of a browser: what was written on it, and what it owes.

use super::*;

/// A clock of NATS is off by so much at most, and a sweep looks after streams so often.
const SKEW: Duration = Duration::from_secs(6);
/// What was published before a stream was opened that waits for NATS may come as well, when it is no older than this.
const LEEWAY: Duration = Duration::from_secs(10);
/// A life is over by so much earlier, of 100.
const EARLIER: u32 = 5;

/// An open stream.
#[expect(clippy::struct_excessive_bools, reason = "each tells of something else")]
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) instance: usize,
    pub(super) run: Run,
    pub(super) opened: Instant,
    opened_in: u64,
    kin: Kin,
    /// By the wall clock, and how long that was from its opening.
    token: Option<(Duration, Duration)>,
    /// Every event after this one is owed.
    owed_after: EventId,
    /// No event up to this one comes.
    pub(super) none_before: EventId,
    /// The last event that was written, or whose id was told; at first what the client has named.
    at: Option<EventId>,
    /// Whether its client is to be told of a gap first.
    owes_gap: bool,
    /// Whether it starts where its client stood.
    continues: bool,
    pub(super) written: Vec<(Instant, Written)>,
    /// A logout that was written last.
    logout: Option<EventId>,
    /// Whether a logout may end it: it lies in a gap, or has perhaps ended another stream.
    may_end: bool,
    /// Logouts that have ended a stream of the same browser.
    ended_by: HashSet<EventId>,
    /// When its client last knew all there was to know; none before it was told anything.
    pub(super) informed: Option<Instant>,
    /// When it did before; none when that cannot be known.
    informed_before: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) reads: bool,
    /// A client that was slow has ids of old events, and is told a new one by then.
    refreshed: Instant,
    jumped: Option<Instant>,
}

/// From where on a stream of a browser is to go.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) owed_after: EventId,
    pub(super) none_before: EventId,
    pub(super) at: Option<EventId>,
    pub(super) owes_gap: bool,
    pub(super) continues: bool,
    /// When the client last knew all there was to know, if that is known.
    pub(super) informed: Option<Instant>,
}

/// What a stream is judged by.
pub(super) struct Judge<'a> {
    pub(super) conditions: &'a Conditions,
    pub(super) ledger: &'a Ledger,
    pub(super) instance: &'a Instance,
    /// What the wall clock says.
    pub(super) wall: Duration,
    pub(super) step: u64,
}

/// Where a stream starts of which nothing is known.
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
        informed: Some(opened),
    }
}

impl Stream {
    pub(super) fn new(
        client: Client,
        (instance, judge): (usize, &Judge<'_>),
        kin: Kin,
        start: Start,
        ended_by: HashSet<EventId>,
    ) -> Self {
        let opened = WallClock::present();
        let token = kin.token.map(|token| (judge.wall + s(token), s(token)));
        let Start { owed_after, none_before, at, owes_gap, continues, informed } = start;
        Self {
            client,
            instance,
            run: judge.instance.run,
            opened,
            opened_in: judge.step,
            kin,
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
            informed: None,
            informed_before: informed,
            ended: None,
            reads: true,
            refreshed: opened,
            jumped: None,
        }
    }

    /// Takes all there is; true when that was something.
    pub(super) fn read(&mut self, judge: &Judge<'_>) -> Result<bool, TestCaseError> {
        let texts = self.client.read();
        let has_read = !texts.is_empty();
        self.judge(texts, judge)?;
        let has_started = self.written.iter().any(|(_, written)| written.id().is_some());
        if has_started && WallClock::present() >= self.refreshed {
            self.informed = Some(judge.instance.current);
        }
        Ok(has_read)
    }

    /// It takes nothing at present.
    pub(super) fn lag(&mut self, conditions: &Conditions) {
        self.refreshed = WallClock::present() + s(conditions.max_age) / 4 + s(2);
    }

    /// Takes one turn.
    pub(super) fn read_turn(&mut self, judge: &Judge<'_>) -> Result<(), TestCaseError> {
        let texts = self.client.read_turn();
        self.judge(texts, judge)
    }

    /// The wall clock has jumped.
    pub(super) fn jump(&mut self) {
        self.jumped = Some(WallClock::present());
    }

    /// What is still owed when everything was read.
    pub(super) fn owes(&self, ledger: &Ledger) -> Option<EventId> {
        ledger.first_after(self.kin.user, self.at.unwrap_or(self.owed_after))
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
                TestCaseError::fail(format!("{text:?}: {fault}; {:?}, of {:?}", self.written, self.kin))
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
        let user = self.kin.user;
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
            // Perhaps it has ended a stream that the client had already lost.
            let may_have_ended_another = self.continues && self.kin.repeats_request_id();
            self.may_end |= may_have_ended_another;
            self.logout = Some(id).filter(|_| !may_have_ended_another);
        }
        Ok(())
    }

    /// It has to be one that held at some moment between the event's coming and its being written.
    fn judge_language(
        &self,
        id: EventId,
        language: Option<&LanguageTag>,
        judge: &Judge<'_>,
    ) -> Result<(), String> {
        let appended = judge.instance.appended.get(&id).copied().unwrap_or_default();
        let requested = if self.kin.asks_for_german { "de" } else { "en" };
        let mut held = judge.instance.chosen_since(self.kin.user, appended.max(self.opened_in));
        let is_right = held.any(|chosen| {
            Some(chosen.map_or(requested, LanguageTag::as_str)) == language.map(LanguageTag::as_str)
        });
        check(is_right, || "is in a wrong language".into())
    }

    fn judge_position(&mut self, id: EventId, ledger: &Ledger) -> Result<(), String> {
        check(!self.owes_gap, || "comes before the gap".into())?;
        check(self.at.is_none_or(|at| id >= at), || format!("comes after {:?}", self.at))?;
        let missing = ledger.first_up_to(self.kin.user, self.at.unwrap_or(self.owed_after), id);
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
        self.may_end |= !judge.ledger.logouts(self.kin.user, low, id).is_empty();
        self.at = Some(id);
        Ok(())
    }

    /// Whether something is missing after `low` up to `id`, or this cannot be known.
    fn may_be_missing(&self, low: EventId, id: EventId, judge: &Judge<'_>) -> bool {
        let Judge { conditions, ledger, instance, .. } = judge;
        let is_returning = self.continues && self.informed.is_none();
        let reaches_back = |informed: Instant| {
            // An id is told anew four times in the age of the log.
            WallClock::present() - informed + SKEW <= s(conditions.max_age) * 3 / 4
                && !ledger.fills(conditions.max_bytes, informed)
        };
        low.incarnation != id.incarnation
            || ledger.first_up_to(self.kin.user, low, id).is_some()
            // The instance does not know what NATS has lost.
            || instance.reader.lost.iter().any(|(after, last)| *after < id && low < *last)
            || is_returning && !self.informed_before.is_some_and(reaches_back)
            || !kept::NO_FALSE_GAP_FOR_OTHER_MESSAGES && ledger.has_other_messages(low, id)
    }

    fn judge_end(&self, reason: &str, judge: &Judge<'_>) -> Result<(), String> {
        let is_due = match reason {
            "Logout" => self.logout.is_some() || self.may_end || self.may_meet_logout_again(judge),
            "Stopping" => judge.instance.is_stopping,
            // Ends are in whole seconds.
            "Expired" => self.token_is_over(EARLIER, s(1), Duration::ZERO, judge),
            "MaxAge" => judge.conditions.max_stream_age.is_some_and(|age| {
                self.jumped.is_some() || self.age() + s(1) >= s(age) * (100 - EARLIER) / 100
            }),
            _ => false,
        };
        check(is_due, || "is no reason to end".into())
    }

    fn may_meet_logout_again(&self, judge: &Judge<'_>) -> bool {
        let logouts = judge.ledger.logouts(self.kin.user, OLDEST, self.at.unwrap_or(OLDEST));
        let read_since = |id| judge.instance.appended.get(id).is_some_and(|step| *step >= self.opened_in);
        !kept::LOGOUT_COUNTS_ONCE_ON_ALL_INSTANCES && logouts.iter().any(read_since)
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

    /// Checks that it has ended if it had to.
    pub(super) fn judge_life(&self, judge: &Judge<'_>) -> Result<(), TestCaseError> {
        let late = s(2);
        // After a jump it is looked again soon. The age is the wall clock's as well.
        let is_known = self.jumped.is_none_or(|jumped| WallClock::present() - jumped >= late);
        let has_token_ended = is_known && self.token_is_over(0, Duration::ZERO, late, judge);
        let max_age = judge.conditions.max_stream_age.filter(|_| self.jumped.is_none());
        let is_too_old = max_age.is_some_and(|age| self.age() >= s(age) + late);
        let has_to_end = has_token_ended || is_too_old;
        prop_assert!(!has_to_end || self.client.is_finishing(), "a stream outlives its end: {:?}", self.kin);
        Ok(())
    }

    /// The logout that has ended it.
    pub(super) fn ended_by(&self) -> Option<EventId> {
        let is_logout = |(_, written): &(Instant, Written)| *written == Written::Closing("Logout".into());
        self.logout.filter(|_| self.written.last().is_some_and(is_logout))
    }
}

fn check(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
