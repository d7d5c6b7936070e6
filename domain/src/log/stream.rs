//! A stream: a position in the mailbox of its user.

mod client;
mod continuation;
mod late;
mod note;
mod turn;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{client::Client, late::LateWindow, note::Notes};
pub use self::{
    client::Resumable,
    continuation::{Continuation, ResumableState},
    late::LateState,
    note::Note,
    turn::{Delivery, Item, Turn, TurnOutcome},
};
use super::{
    Entry, NewStream,
    index::{Floor, Index},
};
use crate::{
    bookmark::ResumePoint,
    gap::Gap,
    identity::{IssuedAt, SessionId},
    language::LanguagePreference,
    notification::{EventId, Logout},
    session::Session,
};

/// The id of a stream, unique within this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

impl StreamId {
    /// Returns the number of streams that were opened before this one.
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
    /// The client has read nothing for the write timeout.
    WriteTimeout,
    /// The token that opened the stream has expired.
    Expired,
    /// The user has logged out.
    Logout,
    /// The user's account was disabled or deleted after the token that opened the stream was issued.
    Revoked,
    /// The stream has reached the maximum age.
    MaxAge,
    /// The client has opened a newer stream.
    Replaced,
    /// An administrator has ended the stream.
    Administrator,
    /// The service is stopping.
    Stopping,
    /// Another process of the service continues the stream.
    HandedOver,
}

impl EndReason {
    /// Returns the name of the reason in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::WriteTimeout => "write_timeout",
            Self::Expired => "expired",
            Self::Logout => "logout",
            Self::Revoked => "revoked",
            Self::MaxAge => "old_age",
            Self::Replaced => "replaced",
            Self::Administrator => "administrator",
            Self::Stopping => "stopping",
            Self::HandedOver => "handed_over",
        }
    }
}

/// A stream. `C` is the connection that it is written to.
#[derive(Debug)]
pub struct Stream<C> {
    pub(super) id: StreamId,
    /// The connection that the stream is written to.
    pub connection: C,
    /// The timers of the stream.
    pub session: Session,
    /// The language preference of the stream.
    pub preference: LanguagePreference,
    /// When the token that opened the stream was issued.
    pub issued_at: IssuedAt,
    /// None if there is nothing to recognize the client by.
    client: Option<Box<Client>>,
    /// The last event that the stream has taken, or the last id that it has sent to its client. None until it is known where the stream
    /// starts.
    pub(super) position: Option<EventId>,
    /// None for most streams. Boxed, because every open stream has the field.
    pub(super) progress: Option<Box<Progress>>,
    notes: Notes,
    /// Whether the stream has taken everything. Its connection is woken when there is more.
    is_waiting: bool,
    /// Whether the connection was woken and has not taken anything since.
    is_woken: bool,
}

/// The delay between recording and taking an event from which the event counts as taken late. An event taken within this time counts as
/// taken when it was recorded.
pub const LATE_AFTER: Duration = Duration::from_secs(1);

/// The state of a stream that replays missed events, reports a gap, has reached a logout or ends.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The gap to report before anything else.
    pub(super) gap: Option<Gap>,
    /// The last event that is a replay. The events after it were appended while the stream was open.
    pub(super) live_after: Option<EventId>,
    /// Whether the last event that the stream took is a logout.
    pub(super) is_at_logout: bool,
    pub(super) ending: Option<Ending>,
}

/// The end of a stream that still has items to take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    reason: EndReason,
    /// The last event that the stream takes. None if it takes no event.
    until: Option<EventId>,
    /// The last event of the log when the stream ended. The stream is a reader of the events up to it.
    latest: Option<EventId>,
    /// Whether the stream has taken its closing comment.
    is_closed: bool,
}

impl<C> Stream<C> {
    pub(super) fn new(id: StreamId, stream: NewStream<C>) -> Self {
        let NewStream { connection, session, request, preference, issued_at, session_id } = stream;
        let opened = session.last_write();
        let resumable = request.map(|request| Resumable {
            request,
            opened,
            start_after: None,
            logged_out: None,
            late: None,
        });
        let mut notes = Notes::default();
        notes.add(Note::Opening);
        Self {
            id,
            connection,
            session,
            preference,
            issued_at,
            client: Client::new(resumable, session_id),
            position: None,
            progress: None,
            notes,
            is_waiting: false,
            is_woken: false,
        }
    }

    /// Returns the id of the stream.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Returns how the client is recognized when it returns. None if it sent no request id.
    #[must_use]
    pub fn resumable(&self) -> Option<&Resumable> {
        self.client.as_ref()?.resumable.as_ref()
    }

    fn resumable_mut(&mut self) -> Option<&mut Resumable> {
        self.client.as_mut()?.resumable.as_mut()
    }

    /// Returns the session at the identity provider in which the stream was opened. None if it is unknown.
    fn session_id(&self) -> Option<&SessionId> {
        self.client.as_ref()?.session_id.as_deref()
    }

    /// Returns the last event that the stream has taken, or the last id that it has sent to its client. None until it is known where the
    /// stream starts.
    #[must_use]
    pub fn position(&self) -> Option<EventId> {
        self.position
    }

    /// Returns whether the stream has not been ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.progress.as_ref().is_none_or(|progress| progress.ending.is_none())
    }

    /// Returns why the stream has ended. None while it is open.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        Some(self.ending()?.reason)
    }

    /// Returns whether the stream still replays events that its client has missed. True until it is known where the stream starts.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        let live_after = self.progress.as_ref().and_then(|progress| progress.live_after);
        self.position.is_none_or(|position| live_after.is_some_and(|live_after| live_after.follows(position)))
    }

    /// Returns whether the stream has taken everything.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Adds a note for the client. Returns whether the connection has to be woken.
    pub fn add_note(&mut self, note: Note) -> bool {
        self.notes.add(note);
        self.wake_if_waiting()
    }

    /// Records that there is something to take. Returns whether the connection has to be woken for it.
    pub(super) fn wake_if_waiting(&mut self) -> bool {
        let was_waiting = std::mem::take(&mut self.is_waiting);
        self.is_woken |= was_waiting;
        was_waiting
    }

    /// Sends the id `position` to the client if it is newer and nothing else waits to be taken. Returns whether the connection has to be
    /// woken.
    pub fn refresh_position(&mut self, position: EventId) -> bool {
        // An event that waits to be taken has a later id.
        let is_due = self.is_waiting && self.position.is_some_and(|sent| position.follows(sent));
        if is_due {
            self.position = Some(position);
        }
        is_due && self.add_note(Note::Position)
    }

    /// Starts the stream after the event `position`. `after` is the last event that the client has. If it is an earlier one, `progress` has
    /// the gap.
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

    /// Resets the stream when the log restarts at `floor`. The events that follow may have the sequences of lost ones.
    pub(super) fn reset(&mut self, floor: Floor) {
        if let Some(resumable) = self.resumable_mut() {
            // A later event with the same sequence is another logout.
            resumable.logged_out = resumable.logged_out.filter(|id| !id.follows(floor.after));
        }
        if let Some(progress) = &mut self.progress {
            progress.live_after = None;
            if let Some(ending) = &mut progress.ending {
                ending.until = Some(floor.after);
                ending.latest = Some(floor.after);
            }
        }
        // A stream past the floor has no gap by its position, because later events have the same sequences.
        if let Some(position) = self.position.filter(|position| position.follows(floor.after)) {
            let gap = Gap { last_event_id: Some(position.to_string()), reason: floor.reason };
            self.progress.get_or_insert_default().gap.get_or_insert(gap);
            self.position = Some(floor.after);
            self.set_start(floor.after);
            if let Some(resumable) = self.resumable_mut() {
                // The window is about events that are lost.
                resumable.late = None;
            }
        }
    }

    /// Records that the stream starts after the event `after`.
    pub fn set_start(&mut self, after: EventId) {
        if let Some(resumable) = self.resumable_mut() {
            resumable.start_after = Some(after);
        }
    }

    /// Continues an earlier stream of the same client at `point`.
    pub fn resume(&mut self, point: ResumePoint) {
        self.set_start(point.position);
        if let Some(resumable) = self.resumable_mut() {
            resumable.logged_out = point.logged_out;
        }
    }

    /// Returns whether the stream ends by the logout `id`: it concerns the session of the stream, and has not ended a stream of the same
    /// client before.
    #[must_use]
    pub fn ends_by(&self, id: EventId, logout: Logout<'_>) -> bool {
        let logged_out = self.resumable().and_then(|resumable| resumable.logged_out);
        let was_handled = logged_out.is_some_and(|logged_out| logged_out == id || logged_out.follows(id));
        !was_handled && logout.ends(self.session_id())
    }

    /// Records that the stream takes the events after `after` late, or a gap in their place.
    fn record_late(&mut self, after: EventId, now: Instant) {
        if let Some(resumable) = self.resumable_mut() {
            resumable.late.get_or_insert_with(|| Box::new(LateWindow::new(after, now))).extend(now);
        }
    }

    /// Records that the stream takes the gap with which it starts.
    fn record_late_gap(&mut self, now: Instant) {
        if let Some(start) = self.resumable().and_then(|resumable| resumable.start_after) {
            self.record_late(start, now);
        }
    }

    /// Records at `now` that everything written before `confirmed_until` has arrived.
    pub fn confirm(&mut self, now: Instant, confirmed_until: Instant) {
        if let Some(position) = self.position
            && let Some(resumable) = self.resumable_mut()
        {
            resumable.late.take_if(|late| !late.confirm(position, now, confirmed_until));
        }
    }

    /// Ends the stream: it still takes the events up to `latest`, and then a closing comment.
    ///
    /// A stream that replays takes no more missed events, because the client's next stream replays them. After [`EndReason::Revoked`] there
    /// is no next stream, so all of them are still taken.
    pub(super) fn end(&mut self, reason: EndReason, latest: Option<EventId>) {
        let is_at_logout = self.progress.as_ref().is_some_and(|progress| progress.is_at_logout);
        let leaves_replay = self.is_replaying() && reason != EndReason::Revoked;
        let until = if is_at_logout || leaves_replay { self.position } else { latest };
        let progress = self.progress.get_or_insert_default();
        progress.ending = Some(Ending { reason, until, latest, is_closed: false });
        if reason == EndReason::Logout
            && let Some(resumable) = self.resumable_mut()
        {
            resumable.logged_out = resumable.logged_out.max(until);
        }
    }

    /// Returns whether the stream still has to take the event `id`, or may have to.
    pub(super) fn needs(&self, id: EventId) -> bool {
        let is_before_end = self
            .ending()
            .is_none_or(|ending| !ending.is_closed && ending.until.is_some_and(|until| !id.follows(until)));
        is_before_end && self.position.is_none_or(|position| id.follows(position))
    }

    fn ending(&self) -> Option<Ending> {
        self.progress.as_ref()?.ending
    }

    /// Returns whether the stream is before the event `id`. False as long as it is not known where the stream starts.
    pub(super) fn is_before(&self, id: EventId) -> bool {
        self.position.is_some_and(|position| position != id && !position.follows(id))
    }

    /// Returns whether the stream replays the event `id`, if it takes it. Otherwise it is a reader of the event.
    fn replays(&self, id: EventId) -> bool {
        let live_after = self.progress.as_ref().and_then(|progress| progress.live_after);
        live_after.is_some_and(|live_after| !id.follows(live_after))
    }

    /// Returns whether the stream is a reader of the event `id` and has not taken it: it was open when the event was appended.
    pub(super) fn reads(&self, id: EventId) -> bool {
        let was_open = self
            .ending()
            .is_none_or(|ending| ending.latest.is_some_and(|latest| latest == id || latest.follows(id)));
        self.is_before(id) && !self.replays(id) && was_open
    }

    /// Removes the stream as a reader of the events that it has not taken. Returns the events whose last reader it was.
    pub(super) fn abandon<'a, F>(
        &'a self,
        index: Option<&'a Index<F>>,
    ) -> impl Iterator<Item = &'a Arc<Entry<F>>> {
        let untaken = self.position.zip(index).into_iter().flat_map(|(after, index)| index.after(after));
        untaken.filter(|entry| self.reads(entry.notification.id) && entry.remove_reader())
    }
}
