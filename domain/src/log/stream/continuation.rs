//! The state with which another process continues a stream.

use std::time::{Duration, Instant};

use super::{Client, LateWindow, Note, Progress, Resumable, Stream, StreamId, late::LateState, note::Notes};
use crate::{
    bookmark::RequestId,
    gap::Gap,
    identity::{IssuedAt, SessionId},
    language::{LanguagePreference, LanguagePriorityList, LanguageTag},
    log::index::Index,
    notification::EventId,
    session::{Session, SessionState},
};

/// An open stream as another process continues it. Times are relative, because an instant has a meaning within one process only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// The event after which the stream continues: the client has all events for its user up to it.
    pub position: EventId,
    /// The gap to report before anything else.
    pub gap: Option<Gap>,
    /// The notes to write before the next event.
    pub notes: Vec<Note>,
    /// The timers.
    pub session: SessionState,
    /// How the client is recognized when it returns. None if it sent no request id.
    pub resumable: Option<ResumableState>,
    /// The language preference of the stream's request.
    pub requested: Option<LanguagePriorityList>,
    /// The most preferred language, as the client knows it.
    pub language: Option<LanguageTag>,
    /// When the token that opened the stream was issued.
    pub issued_at: IssuedAt,
    /// The session at the identity provider. None if it is unknown.
    pub session_id: Option<Box<SessionId>>,
}

/// The state of a client that sends a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumableState {
    /// The id of the request that opened the stream.
    pub request: RequestId,
    /// For how long the stream has been open.
    pub age: Duration,
    /// The event after which the stream has started.
    pub start_after: Option<EventId>,
    /// The last logout that has already ended a stream of this client.
    pub logged_out: Option<EventId>,
    /// The events that the stream has taken late.
    pub late: Option<LateState>,
}

impl Resumable {
    fn from_state(state: ResumableState, now: Instant) -> Self {
        let ResumableState { request, age, start_after, logged_out, late } = state;
        let opened = now.checked_sub(age).unwrap_or(now);
        let late = late.map(|late| Box::new(LateWindow::from_state(late, now)));
        Self { request, opened, start_after, logged_out, late }
    }

    /// Returns the state at `now`. The events after `unconfirmed_after` may not have arrived. None if all have.
    fn state(&self, unconfirmed_after: Option<EventId>, now: Instant) -> ResumableState {
        // The log of the other process may not have these events, and then it would not know that they are unconfirmed.
        let unconfirmed = unconfirmed_after.map(|after| LateWindow::new(after, now).state(now));
        ResumableState {
            request: self.request.clone(),
            age: now.saturating_duration_since(self.opened),
            start_after: self.start_after,
            logged_out: self.logged_out,
            late: self.late.as_ref().map(|late| late.state(now)).or(unconfirmed),
        }
    }
}

impl<C> Stream<C> {
    /// Creates the stream of `continuation`. It takes no event before [`Stream::continue_after`].
    pub(in crate::log) fn continued(
        id: StreamId,
        connection: C,
        continuation: Continuation,
        preference: LanguagePreference,
        now: Instant,
    ) -> Self {
        let Continuation { session, resumable, notes, issued_at, session_id, .. } = continuation;
        let resumable = resumable.map(|state| Resumable::from_state(state, now));
        Self {
            id,
            connection,
            session: Session::from_state(session, now),
            preference,
            issued_at,
            client: Client::new(resumable, session_id),
            position: None,
            progress: None,
            notes: Notes::of(&notes),
            is_waiting: false,
            is_woken: false,
        }
    }

    /// Continues after the event `position`, where another process has left it.
    pub(in crate::log) fn continue_after(&mut self, position: EventId, progress: Option<Progress>) {
        if self.is_open() {
            self.progress = progress.map(Box::new);
        }
        self.position = Some(position);
    }

    /// Returns the state with which another process continues the stream. `latest` is the last event that the mailbox may have, and
    /// `confirmed` the last one that has certainly arrived. None if the stream has ended, or if it is not known yet where it starts.
    pub(in crate::log) fn continuation<F>(
        &self,
        index: Option<&Index<F>>,
        latest: EventId,
        confirmed: Option<EventId>,
        now: Instant,
    ) -> Option<Continuation> {
        let position = self.position.filter(|_| self.is_open())?;
        let unconfirmed_after = confirmed.filter(|confirmed| position.follows(*confirmed));
        let gap = self.progress.as_ref().and_then(|progress| progress.gap.clone());
        let has_more = index.is_some_and(|index| {
            index.gap_after(position).is_some() || index.after(position).next().is_some()
        });
        // The other process may not have the log as far back as the user's last event.
        let position = if gap.is_some() || has_more { position } else { position.max(latest) };
        Some(Continuation {
            position,
            gap,
            notes: self.notes.pending().collect(),
            session: self.session.state(now),
            resumable: self.resumable().map(|resumable| resumable.state(unconfirmed_after, now)),
            requested: self.preference.requested().cloned(),
            language: self.preference.effective().first(),
            issued_at: self.issued_at,
            session_id: self.client.as_ref().and_then(|client| client.session_id.clone()),
        })
    }
}
