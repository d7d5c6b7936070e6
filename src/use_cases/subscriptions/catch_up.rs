//! A stream that has just been opened gets what its client has missed, and then what is new, without a hole and without a
//! duplicate between the two.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    bookmark::RequestId,
    fanout::StreamId,
    history::{Gap, Missed},
    identity::UserId,
    notification::{EventId, Notification},
    spread::Spread,
};
use ports::outbound::{EndReason, Frame, Offer, Outbox};

use super::{Bus, Shared, State};

/// So many missed events are taken from the history at a time.
const PORTION: usize = 16;
/// An event that another instance has already delivered reaches this one within this time, unless there is none.
const AHEAD_PATIENCE: Duration = Duration::from_secs(1);
/// How much a clock of the bus may go before ours: of what was published while we did not yet read, so much is given in
/// addition.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);
/// When a replay was refused, the room may have to come from other streams: it is tried again after this.
const REPLAY_PAUSE: Duration = Duration::from_millis(100);
/// Of an id that is none, so much is shown to the one who sent it.
const SHOWN_BYTES: usize = 200;

/// Where a client wants to go on.
pub(super) enum Beginning {
    /// With what is published from the opening of its stream on.
    Opening,
    /// After this event.
    After(EventId),
    /// Where the stream stood that the same client had before; else with its opening.
    Remembered(RequestId),
    /// After something that is no event.
    Nowhere(String),
}

impl Beginning {
    /// What a client has named as the last event it has had. (WHATWG HTML, 9.2.4: one that has had none sends nothing; an
    /// empty text is the same.)
    pub(super) fn named(text: String) -> Self {
        match text.parse() {
            _ if text.is_empty() => Self::Opening,
            Ok(id) => Self::After(id),
            Err(_) => Self::Nowhere(text),
        }
    }
}

/// How far it has come.
pub(super) enum Progress {
    /// The stream is live, or has ended.
    Done,
    /// Its queue has to be read first.
    Full,
    /// The history has to go on first.
    NotYet,
}

/// A stream on its way to being live.
///
/// Until then it is offered nothing by others: what is published meanwhile it finds in the history. Finding nothing more
/// there and becoming live are one step.
pub(super) struct CatchUp {
    shared: Arc<Shared>,
    user: UserId,
    id: StreamId,
    outbox: Arc<dyn Outbox>,
    beginning: Beginning,
    opened: Instant,
    /// The last event of all when it was opened, when the history was there already.
    opened_at: Option<EventId>,
    /// What it has had of the history so far; none until it is known where it begins.
    after: Option<EventId>,
    /// The last id that its client was told.
    told: Option<EventId>,
    /// Since when its client has seemed to know an event that is still to come.
    ahead: Option<Instant>,
    /// What is to be offered next.
    waiting: VecDeque<Waiting>,
}

/// Something on its way into the queue.
enum Waiting {
    /// An event that was missed. It is encoded when it is offered: what waits here takes no further memory.
    Event(Arc<Notification>),
    /// Something of our own.
    Note(Frame),
}

impl CatchUp {
    /// For the stream `id`, which has just joined as the `number`th of all.
    pub(super) fn new(
        shared: Arc<Shared>,
        user: UserId,
        id: StreamId,
        outbox: Arc<dyn Outbox>,
        beginning: Beginning,
        number: u64,
        state: &mut State,
    ) -> Self {
        let mut catch_up = Self {
            opened: shared.clock.now(),
            opened_at: state.settled.filter(|_| state.bus != Bus::Filling),
            shared,
            user,
            id,
            outbox,
            beginning,
            after: None,
            told: None,
            ahead: None,
            waiting: VecDeque::new(),
        };
        catch_up.open(number, state);
        catch_up
    }

    /// Its first frame tells the client what to come back with, as far as that is known.
    fn open(&mut self, number: u64, state: &mut State) {
        let position = match self.beginning {
            Beginning::After(id) => {
                // There it stands, should it end before it is live.
                if let Some(member) = state.fanout.member(&self.user, self.id) {
                    member.begin(id);
                }
                Some(id)
            }
            // None when that is not known yet, or a gap has to be told first.
            Beginning::Opening | Beginning::Remembered(_) | Beginning::Nowhere(_) => self.begin(state),
        };
        self.told = position.or(self.told);
        let Shared { policy, frames, .. } = &*self.shared;
        let reconnection_time = policy.reconnection_time.map(|time| Spread::of(number).later(time));
        let opening = frames.opening(reconnection_time, position.filter(|_| self.shared.remembers()));
        if let Some(opening) = opening {
            self.waiting.push_front(Waiting::Note(opening));
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// Goes on until the stream is live or has ended.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut moved = pin!(shared.moved.notified());
            // Nothing that happens between the look and the wait is missed.
            moved.as_mut().enable();
            match self.advance() {
                Progress::Done => return,
                // Its client reads, or others' do.
                Progress::Full => drop(tokio::time::timeout(REPLAY_PAUSE, self.outbox.room()).await),
                // Something has come from the bus, or it is time to give up waiting for that.
                Progress::NotYet => drop(tokio::time::timeout(AHEAD_PATIENCE, moved).await),
            }
        }
    }

    /// Goes as far as is possible without waiting.
    pub(super) fn advance(&mut self) -> Progress {
        loop {
            if let Some(stopped) = self.offer() {
                return stopped;
            }
            let shared = Arc::clone(&self.shared);
            let mut state = shared.state.lock();
            let Some(after) = self.after.or_else(|| self.begin(&mut state)) else {
                if self.waiting.is_empty() {
                    return Progress::NotYet;
                }
                continue;
            };
            let Some(history) = &state.history else { return Progress::NotYet };
            match history.missed(&self.user, after, PORTION) {
                Missed::Notifications(missed) => {
                    drop(state);
                    self.after = missed.last().map(|last| last.id).or(self.after);
                    self.told = self.after;
                    self.waiting.extend(missed.into_iter().map(Waiting::Event));
                }
                Missed::Gap(position, reason) => {
                    drop(state);
                    self.after = Some(position);
                    self.tell_gap(&Gap { last_event_id: Some(after.to_string()), reason }, position);
                }
                Missed::Nothing(latest) => return self.go_live(&mut state, latest),
            }
        }
    }

    /// Offers what is to be offered next; says so when it cannot go on.
    fn offer(&mut self) -> Option<Progress> {
        let now = self.shared.clock.now();
        while let Some(next) = self.waiting.front() {
            let offered = match next {
                // It is encoded for this stream alone: those who return do so one by one.
                Waiting::Event(missed) => {
                    let version = self.shared.version(&missed.content, &self.user, self.id);
                    self.outbox.replay(&self.shared.frames.event(missed, version, None), now)
                }
                Waiting::Note(frame) => self.outbox.replay(frame, now),
            };
            match offered {
                Offer::Gone => return Some(Progress::Done),
                Offer::Full { .. } => return Some(Progress::Full),
                Offer::Accepted => {}
            }
            if let Some(Waiting::Event(missed)) = self.waiting.pop_front() {
                self.shared.metrics.replayed();
                if missed.is_logout() && self.shared.policy.close_on_logout {
                    let last = self.shared.frames.farewell(EndReason::Logout, None);
                    self.shared.end(&self.user, self.id, &*self.outbox, EndReason::Logout, Some(last));
                    return Some(Progress::Done);
                }
            }
        }
        None
    }

    /// Finds out where the stream begins, as soon as that can be known.
    fn begin(&mut self, state: &mut State) -> Option<EventId> {
        if state.bus == Bus::Filling || !state.knows_languages {
            return None;
        }
        if let Beginning::Remembered(request) = &self.beginning {
            if !state.informed {
                return None;
            }
            let now = self.shared.clock.now();
            let stood = self.shared.stood(state, &self.user, self.id, request, now);
            self.beginning = stood.map_or(Beginning::Opening, Beginning::After);
        }
        let history = state.history.as_ref()?;
        let opening = || match self.opened_at {
            Some(position) => (position, None),
            None => history.before(self.opened.checked_sub(CLOCK_LEEWAY).unwrap_or(self.opened)),
        };
        let (after, gap) = match &self.beginning {
            Beginning::Opening | Beginning::Remembered(_) => {
                let (position, lost) = opening();
                (position, lost.map(|reason| Gap { last_event_id: None, reason }))
            }
            Beginning::After(id) if id.follows(history.latest()) => {
                let now = self.shared.clock.now();
                let since = self.ahead.filter(|_| state.bus == Bus::Reading).unwrap_or(now);
                self.ahead = Some(since);
                // Perhaps another instance has been quicker.
                if now.saturating_duration_since(since) < AHEAD_PATIENCE {
                    return None;
                }
                (opening().0, Some(Gap::unknown(id.to_string())))
            }
            Beginning::After(id) => (*id, None),
            Beginning::Nowhere(text) => {
                let shown = text.floor_char_boundary(SHOWN_BYTES);
                (opening().0, Some(Gap::unknown(text[..shown].to_owned())))
            }
        };
        if let Some(member) = state.fanout.member(&self.user, self.id) {
            member.begin(after);
        }
        self.after = Some(after);
        if let Some(gap) = gap {
            self.tell_gap(&gap, after);
            return None;
        }
        Some(after)
    }

    /// What was between is missing: the stream goes on after `position`.
    fn tell_gap(&mut self, gap: &Gap, position: EventId) {
        self.shared.metrics.gap_told(gap.reason);
        self.waiting.push_back(Waiting::Note(self.shared.frames.gap(gap, position)));
        self.told = Some(position);
    }

    /// Everything up to `latest` has been offered: from now on others offer what comes.
    fn go_live(&mut self, state: &mut State, latest: EventId) -> Progress {
        let now = self.shared.clock.now();
        if self.shared.remembers() && self.told != Some(latest) {
            match self.outbox.replay(&self.shared.frames.position(latest), now) {
                Offer::Accepted => {}
                Offer::Full { .. } => return Progress::Full,
                Offer::Gone => return Progress::Done,
            }
        }
        if let Some(member) = state.fanout.member(&self.user, self.id) {
            member.tell(latest);
            member.session.write(now);
        }
        Progress::Done
    }
}
