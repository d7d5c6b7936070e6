//! A turn of a stream: one batch of items that its connection takes.

use std::{sync::Arc, time::Instant};

use super::{EndReason, LATE_AFTER, Note, Stream};
use crate::{
    gap::Gap,
    language::LanguagePreference,
    log::{Entry, index::Index},
    notification::EventId,
};

/// An item that a stream takes.
pub enum Item<'a, F> {
    /// A note, with the id to come back with. There is no id if it is not known yet, or if a gap has to be reported first.
    Note(Note, Option<EventId>),
    /// A gap: events up to this one are missing.
    Gap(Gap, EventId),
    /// An event.
    Event(&'a Arc<Entry<F>>, Delivery),
    /// The closing comment, which is the last item of a stream.
    Closing(EndReason),
}

/// How an event is delivered to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The stream was open when the event was appended.
    Live {
        /// Whether all other such streams have taken the event, so that its delivery is complete.
        is_last: bool,
    },
    /// The client had missed the event.
    Replay,
}

/// The result of a stream's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The next action of the connection.
    pub outcome: TurnOutcome,
    /// Whether the connection was woken for this turn.
    pub was_woken: bool,
}

/// The action of a connection after a stream's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOutcome {
    /// There are more items to take.
    More,
    /// The last event is a logout that may end the stream. The caller decides whether the stream ends with it, and takes again.
    LoggedOut,
    /// The stream has taken everything. The connection is woken when there is more.
    Wait,
    /// The stream has taken its last item.
    End,
}

impl<C> Stream<C> {
    /// Takes the next items at `now`, up to `limit` bytes or one larger event. `write` returns the size of each item in bytes.
    pub(in crate::log) fn take<F>(
        &mut self,
        now: Instant,
        index: Option<&Index<F>>,
        limit: usize,
        write: &mut dyn FnMut(&LanguagePreference, Item<'_, F>) -> usize,
    ) -> Turn {
        self.is_waiting = false;
        let was_woken = std::mem::take(&mut self.is_woken);
        Turn { outcome: self.take_next(now, index, limit, write), was_woken }
    }

    fn take_next<F>(
        &mut self,
        now: Instant,
        index: Option<&Index<F>>,
        limit: usize,
        write: &mut dyn FnMut(&LanguagePreference, Item<'_, F>) -> usize,
    ) -> TurnOutcome {
        if self.ending().is_some_and(|ending| ending.is_closed) {
            return TurnOutcome::End;
        }
        let gap = self.progress.as_mut().and_then(|progress| progress.gap.take());
        let position = self.position.filter(|_| gap.is_none());
        let mut bytes = 0;
        for note in self.notes.take() {
            bytes += write(&self.preference, Item::Note(note, position));
        }
        if let (Some(gap), Some(position)) = (gap, self.position) {
            bytes += write(&self.preference, Item::Gap(gap, position));
            self.record_late_gap(now);
        }
        if let (Some(position), Some(index)) = (self.position, index)
            && let Some(outcome) = self.take_events(now, position, index, limit.saturating_sub(bytes), write)
        {
            return outcome;
        }
        self.finish(write)
    }

    /// Takes events, up to `limit` bytes or one larger event. Returns none when the stream has taken all of them.
    fn take_events<F>(
        &mut self,
        now: Instant,
        mut position: EventId,
        index: &Index<F>,
        limit: usize,
        write: &mut dyn FnMut(&LanguagePreference, Item<'_, F>) -> usize,
    ) -> Option<TurnOutcome> {
        if let Some((reason, after)) = index.gap_after(position) {
            let gap = Gap { last_event_id: Some(position.to_string()), reason };
            write(&self.preference, Item::Gap(gap, after));
            self.record_late(position, now);
            position = after;
            self.position = Some(position);
        }
        if let Some(progress) = &mut self.progress {
            progress.is_at_logout = false;
        }
        let until = self.ending().map(|ending| ending.until);
        let (mut bytes, start) = (0, position);
        for entry in index.after(start) {
            let id = entry.notification.id;
            if until.is_some_and(|until| until.is_none_or(|until| id.follows(until))) {
                return None;
            }
            if bytes >= limit && position != start {
                return Some(TurnOutcome::More);
            }
            let delivery = if self.replays(id) {
                Delivery::Replay
            } else {
                Delivery::Live { is_last: entry.remove_reader() }
            };
            bytes += write(&self.preference, Item::Event(entry, delivery));
            if now.saturating_duration_since(entry.recorded) > LATE_AFTER {
                self.record_late(position, now);
            }
            position = id;
            self.position = Some(id);
            let logout = entry.notification.logout().filter(|_| until.is_none());
            if logout.is_some_and(|logout| self.ends_by(id, logout)) {
                self.progress.get_or_insert_default().is_at_logout = true;
                return Some(TurnOutcome::LoggedOut);
            }
        }
        None
    }

    /// Ends a turn that has taken every event: the stream waits, or takes its closing comment.
    fn finish<F>(&mut self, write: &mut dyn FnMut(&LanguagePreference, Item<'_, F>) -> usize) -> TurnOutcome {
        if let Some(progress) = &mut self.progress {
            if let Some(ending) = &mut progress.ending {
                ending.is_closed = true;
                write(&self.preference, Item::Closing(ending.reason));
                return TurnOutcome::End;
            }
            // The last missed event may lie before the last event of the log, whose id is the better one to come back with.
            if let (Some(latest), Some(position)) = (progress.live_after, self.position)
                && latest.follows(position)
            {
                self.position = Some(latest);
                write(&self.preference, Item::Note(Note::Position, self.position));
            }
            self.progress = None;
        }
        self.is_waiting = true;
        TurnOutcome::Wait
    }
}
