//! A turn of a stream: what its connection takes at a time.

use std::{sync::Arc, time::Instant};

use super::{EndReason, LATE_AFTER, Note, Stream};
use crate::{
    gap::Gap,
    language::LanguagePreference,
    log::{Entry, index::Index},
    notification::EventId,
};

/// What a stream takes next.
pub enum Item<'a, F> {
    /// A note, with the id to come back with when that is known and no gap has to be told first.
    Note(Note, Option<EventId>),
    /// Events up to this one are missing.
    Gap(Gap, EventId),
    /// An event.
    Event(&'a Arc<Entry<F>>, Delivery),
    /// The last of a stream.
    Closing(EndReason),
}

/// How an event comes to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The stream was open when the event was appended. The last of these streams completes the delivery.
    Live {
        /// Whether it is the last of them.
        is_last: bool,
    },
    /// Its client had missed it.
    Replay,
}

/// What came of a stream's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What follows.
    pub outcome: TurnOutcome,
    /// Whether its connection was woken for this.
    pub was_woken: bool,
}

/// What follows behind a stream's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOutcome {
    /// There is more to take.
    More,
    /// It has taken that the user has logged out, and takes nothing more before it is known whether it ends with that.
    LoggedOut,
    /// It has taken everything. Its connection is woken when there is more.
    Wait,
    /// It has taken everything, and nothing comes any more.
    End,
}

impl<C> Stream<C> {
    /// Takes what is next at `now`, up to `limit` bytes or one larger event. `write` returns the size of each.
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
        if self.ending().is_some_and(|ending| ending.is_told) {
            return TurnOutcome::End;
        }
        let gap = self.progress.as_mut().and_then(|progress| progress.gap.take());
        let told = self.position.filter(|_| gap.is_none());
        let mut bytes = 0;
        for note in self.notes.take() {
            bytes += write(&self.preference, Item::Note(note, told));
        }
        if let (Some(gap), Some(position)) = (gap, self.position) {
            bytes += write(&self.preference, Item::Gap(gap, position));
            self.note_gap(now);
        }
        if let (Some(position), Some(index)) = (self.position, index)
            && let Some(then) = self.read(now, position, index, limit.saturating_sub(bytes), write)
        {
            return then;
        }
        self.finish(write)
    }

    /// Takes events, up to `limit` bytes or one larger event. None when it has taken all.
    fn read<F>(
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
            self.note_late(position, now);
            position = after;
            self.position = Some(position);
        }
        if let Some(progress) = &mut self.progress {
            progress.is_at_logout = false;
        }
        let until = self.ending().map(|ending| ending.until);
        let live_after = self.progress.as_ref().and_then(|progress| progress.live_after);
        let (mut bytes, start) = (0, position);
        for entry in index.after(start) {
            let id = entry.notification.id;
            if until.is_some_and(|until| until.is_none_or(|until| id.follows(until))) {
                return None;
            }
            if bytes >= limit && position != start {
                return Some(TurnOutcome::More);
            }
            let is_live = live_after.is_none_or(|live_after| id.follows(live_after));
            let delivery =
                if is_live { Delivery::Live { is_last: entry.remove_reader() } } else { Delivery::Replay };
            bytes += write(&self.preference, Item::Event(entry, delivery));
            if now.saturating_duration_since(entry.recorded) > LATE_AFTER {
                self.note_late(position, now);
            }
            position = id;
            self.position = Some(id);
            if until.is_none() && entry.notification.is_logout() && !self.has_handled_logout(id) {
                self.progress.get_or_insert_default().is_at_logout = true;
                return Some(TurnOutcome::LoggedOut);
            }
        }
        None
    }

    /// Everything was taken.
    fn finish<F>(&mut self, write: &mut dyn FnMut(&LanguagePreference, Item<'_, F>) -> usize) -> TurnOutcome {
        if let Some(progress) = &mut self.progress {
            if let Some(ending) = &mut progress.ending {
                ending.is_told = true;
                write(&self.preference, Item::Closing(ending.reason));
                return TurnOutcome::End;
            }
            // What its client has missed may have ended before the last event of all.
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
