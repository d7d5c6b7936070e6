//! An open stream: a position in its user's mailbox.

mod late;
mod note;
mod turn;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{late::Late, note::Notes};
pub use self::{
    note::Note,
    turn::{Delivery, Item, Turn, TurnOutcome},
};
use super::{
    Entry, NewStream,
    index::{Floor, Index},
};
use crate::{
    bookmark::{RequestId, ResumePoint},
    gap::Gap,
    identity::IssuedAt,
    language::LanguagePreference,
    notification::EventId,
    session::Session,
};

/// Names one stream among all that were ever opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

impl StreamId {
    /// The number of streams that were opened before this one.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// The reason why a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client has closed the connection.
    Client,
    /// The client has taken nothing of what was written to it.
    Slow,
    /// The token that opened it has expired.
    Expired,
    /// The user has logged out.
    Logout,
    /// The user's account was disabled or deleted after the token that opened it was issued.
    Revoked,
    /// It has reached the maximum age of streams.
    MaxAge,
    /// Its client has opened a newer stream.
    Replaced,
    /// An administrator has ended it.
    Administrator,
    /// The service is stopping.
    Stopping,
}

/// An open stream. `C` is the connection that it is written to.
#[derive(Debug)]
pub struct Stream<C> {
    pub(super) id: StreamId,
    /// The connection that it is written to.
    pub connection: C,
    /// What is due when.
    pub session: Session,
    /// By what its client is recognized when it returns.
    pub resumable: Option<Box<Resumable>>,
    /// The languages that are preferred on it.
    pub preference: LanguagePreference,
    /// When the token that opened it was issued.
    pub issued_at: IssuedAt,
    /// The last event that it has taken, or whose id its client was told; none until it is known where the stream starts.
    pub(super) position: Option<EventId>,
    /// Mostly there is nothing special to know.
    pub(super) progress: Option<Box<Progress>>,
    notes: Notes,
    /// Whether it has taken everything, so that its connection has to be woken when there is more.
    is_waiting: bool,
    /// Whether its connection was woken, and has not taken anything since.
    is_woken: bool,
}

/// The request that opened a stream. A client that cannot say which event it has had repeats the id of its request.
#[derive(Debug)]
pub struct Resumable {
    /// The id of the request.
    pub request: RequestId,
    pub(super) opened: Instant,
    /// The event that the stream starts after, once that is known. Its client has, or never needed, everything up to it.
    pub start_after: Option<EventId>,
    /// A logout up to this event has already ended a stream of its client.
    pub logged_out: Option<EventId>,
    /// Mostly nothing is.
    pub(super) late: Option<Box<Late>>,
}

/// An event that is taken within this time counts as taken when it was recorded.
pub const LATE_AFTER: Duration = Duration::from_secs(1);

/// What is known of a stream that replays, or that ends.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The client is told of this first.
    pub(super) gap: Option<Gap>,
    /// Events up to this one its client has missed; what follows was appended while the stream was open.
    pub(super) live_after: Option<EventId>,
    /// Whether the event that it took last says that the user has logged out.
    pub(super) is_at_logout: bool,
    pub(super) ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    reason: EndReason,
    /// What was published after this is not for it.
    until: Option<EventId>,
    /// The last event that was appended before.
    latest: Option<EventId>,
    /// Whether the closing comment was taken.
    is_told: bool,
}

impl<C> Stream<C> {
    pub(super) fn new(id: StreamId, stream: NewStream<C>) -> Self {
        let NewStream { connection, session, request, preference, issued_at } = stream;
        let opened = session.written();
        let resumable = request.map(|request| {
            Box::new(Resumable { request, opened, start_after: None, logged_out: None, late: None })
        });
        let mut notes = Notes::default();
        notes.add(Note::Opening);
        Self {
            id,
            connection,
            session,
            resumable,
            preference,
            issued_at,
            position: None,
            progress: None,
            notes,
            is_waiting: false,
            is_woken: false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The last event that it has taken, or whose id its client was told; none until it is known where it starts.
    #[must_use]
    pub fn position(&self) -> Option<EventId> {
        self.position
    }

    /// Whether it has not been ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.progress.as_ref().is_none_or(|progress| progress.ending.is_none())
    }

    /// Whether it takes what its client has missed; also before it is known where it starts.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        let live_after = self.progress.as_ref().and_then(|progress| progress.live_after);
        self.position.is_none_or(|position| live_after.is_some_and(|live_after| live_after.follows(position)))
    }

    /// Whether it has taken everything.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Has `note` written. True when its connection has to be woken.
    pub fn add_note(&mut self, note: Note) -> bool {
        self.notes.add(note);
        self.wake_if_waiting()
    }

    /// Whether its connection has to be woken now that there is something to take.
    pub(super) fn wake_if_waiting(&mut self) -> bool {
        let wakes = std::mem::take(&mut self.is_waiting);
        self.is_woken |= wakes;
        wakes
    }

    /// Has the newer id `position` written, unless the client is told a later one anyway. True when its connection has to be woken.
    pub fn refresh_position(&mut self, position: EventId) -> bool {
        // While there is something to take, its id tells more.
        let is_due = self.is_waiting && self.position.is_some_and(|told| position.follows(told));
        if is_due {
            self.position = Some(position);
        }
        is_due && self.add_note(Note::Position)
    }

    /// It is known that the stream starts after the event `position`. Its client has come to `after`; it is told of a gap between them.
    pub(super) fn start(&mut self, after: EventId, position: EventId, progress: Option<Progress>) {
        if self.is_open() {
            self.progress = progress.map(Box::new);
        }
        self.set_start(after);
        self.position = Some(position);
        if !self.notes.has(Note::Opening) {
            self.notes.add(Note::Position);
        }
    }

    /// The log starts anew after `floor`, with events that were not there before.
    pub(super) fn reset(&mut self, floor: Floor) {
        if let Some(resumable) = &mut self.resumable {
            // The same sequences come again.
            resumable.logged_out = resumable.logged_out.filter(|id| !id.follows(floor.after));
        }
        if let Some(progress) = &mut self.progress {
            progress.live_after = None;
            if let Some(ending) = &mut progress.ending {
                ending.until = Some(floor.after);
                ending.latest = Some(floor.after);
            }
        }
        // A stream that has come further would not find the gap by its position: the same sequences come again.
        if let Some(position) = self.position.filter(|position| position.follows(floor.after)) {
            let gap = Gap { last_event_id: Some(position.to_string()), reason: floor.reason };
            self.progress.get_or_insert_default().gap.get_or_insert(gap);
            self.position = Some(floor.after);
            self.set_start(floor.after);
            if let Some(resumable) = &mut self.resumable {
                // What it says is about events that are there no more.
                resumable.late = None;
            }
        }
    }

    /// The stream starts after the event `after`, or will.
    pub fn set_start(&mut self, after: EventId) {
        if let Some(resumable) = &mut self.resumable {
            resumable.start_after = Some(after);
        }
    }

    /// The stream goes on for a client that has had another before.
    pub fn resume(&mut self, point: ResumePoint) {
        self.set_start(point.position);
        if let Some(resumable) = &mut self.resumable {
            resumable.logged_out = point.logged_out;
        }
    }

    /// Whether the event `id`, a logout, has already ended a stream of the same client.
    #[must_use]
    pub fn has_handled_logout(&self, id: EventId) -> bool {
        let logged_out = self.resumable.as_ref().and_then(|resumable| resumable.logged_out);
        logged_out.is_some_and(|logged_out| logged_out == id || logged_out.follows(id))
    }

    /// What follows the event `after` is taken late: events long after they were recorded, or a gap in their place.
    fn note_late(&mut self, after: EventId, now: Instant) {
        if let Some(resumable) = &mut self.resumable {
            resumable.late.get_or_insert_with(|| Box::new(Late::new(after, now))).take(now);
        }
    }

    /// The gap is taken that the stream starts with.
    fn note_gap(&mut self, now: Instant) {
        if let Some(start) = self.resumable.as_ref().and_then(|resumable| resumable.start_after) {
            self.note_late(start, now);
        }
    }

    /// What was written before `written` has arrived.
    pub fn confirm(&mut self, now: Instant, written: Instant) {
        if let (Some(resumable), Some(position)) = (&mut self.resumable, self.position) {
            resumable.late.take_if(|late| !late.confirm(position, now, written));
        }
    }

    /// From now on it takes no more than what was published up to `latest`, and then a closing comment. What its client has missed is given
    /// to the next stream, unless there is none because the account was disabled or deleted.
    pub(super) fn end(&mut self, reason: EndReason, latest: Option<EventId>) {
        let is_at_logout = self.progress.as_ref().is_some_and(|progress| progress.is_at_logout);
        let leaves_missed = self.is_replaying() && reason != EndReason::Revoked;
        let until = if is_at_logout || leaves_missed { self.position } else { latest };
        let progress = self.progress.get_or_insert_default();
        progress.ending = Some(Ending { reason, until, latest, is_told: false });
        if let (EndReason::Logout, Some(resumable)) = (reason, &mut self.resumable) {
            resumable.logged_out = resumable.logged_out.max(until);
        }
    }

    /// Whether the event `id` of its user is still to be taken, as far as that is known.
    pub(super) fn needs(&self, id: EventId) -> bool {
        let is_for_it = self
            .ending()
            .is_none_or(|ending| !ending.is_told && ending.until.is_some_and(|until| !id.follows(until)));
        is_for_it && self.position.is_none_or(|position| id.follows(position))
    }

    fn ending(&self) -> Option<Ending> {
        self.progress.as_ref()?.ending
    }

    /// The events whose delivery is complete because this stream does not take them any more.
    pub(super) fn abandon<'a, F>(
        &self,
        index: Option<&'a Index<F>>,
    ) -> impl Iterator<Item = &'a Arc<Entry<F>>> {
        let live_after = self.progress.as_ref().and_then(|progress| progress.live_after);
        let untaken = self.position.map(|position| live_after.map_or(position, |live| live.max(position)));
        let untaken = untaken.zip(index).into_iter().flat_map(|(after, index)| index.after(after));
        // What was appended after the end does not wait for this stream.
        let ending = self.ending();
        let was_open = move |id: EventId| {
            ending.is_none_or(|ending| ending.latest.is_some_and(|latest| latest == id || latest.follows(id)))
        };
        untaken.filter(move |entry| was_open(entry.notification.id) && entry.remove_reader())
    }
}
