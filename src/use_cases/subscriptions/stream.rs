//! The interface of a stream for its connection.

use std::{sync::Arc, time::Duration};

use domain::{
    jitter::Jitter,
    language::LanguagePreference,
    log::{Delivery, EndReason, Entry, Item, Note, StreamId, Turn, TurnOutcome},
    notification::EventId,
    type_filter::TypeFilter,
};
use ports::{
    Frame,
    inbound::{EventStream, Taken},
};

use super::{Encoded, Mailbox, Shared};

/// Maximum number of bytes that a connection takes at a time. A single larger event is taken as well.
const MAX_TURN_BYTES: usize = 64 * 1024;
/// The number of bytes for which a skipped event counts, so that a turn has an end.
const SKIPPED_BYTES: usize = 64;
/// Reconnection time that is sent when the service stops and none is configured.
const DEFAULT_RECONNECTION_TIME: Duration = Duration::from_secs(3);

/// An open stream. Dropping it closes the stream.
pub(super) struct OpenStream {
    pub(super) shared: Arc<Shared>,
    /// None once the stream is closed.
    pub(super) mailbox: Option<Arc<Mailbox>>,
    pub(super) id: StreamId,
    /// The types of events that the client asks for. None for all.
    pub(super) types: Option<Arc<TypeFilter>>,
}

impl EventStream for OpenStream {
    fn take(&mut self) -> Taken {
        let mut taken = Taken::default();
        let Some(mailbox) = &self.mailbox else { return taken };
        let Turn { mut outcome, was_woken } = self.turn(mailbox, &mut taken);
        if was_woken {
            self.shared.pace.taken();
        }
        // The closing comment follows a logout in the same write.
        if outcome == TurnOutcome::LoggedOut {
            outcome = self.turn(mailbox, &mut taken).outcome;
        }
        taken.is_last = outcome == TurnOutcome::End;
        taken
    }

    fn close(&mut self, reason: EndReason) -> Option<EndReason> {
        let mailbox = self.mailbox.take()?;
        Some(self.shared.close(&mailbox, self.id, reason))
    }
}

impl OpenStream {
    /// Takes one turn's items, and ends the stream if the last one is a logout and the policy says so.
    fn turn(&self, mailbox: &Mailbox, taken: &mut Taken) -> Turn {
        let Self { shared, id, types, .. } = self;
        // The last event, if it was skipped.
        let mut skipped = None;
        let mut write = |preference: &LanguagePreference, item: Item<'_, Encoded>| {
            if let Item::Event(entry, delivery) = &item {
                if types.as_ref().is_some_and(|types| !types.matches(&entry.notification.event_type)) {
                    shared.record_skip(entry, *delivery);
                    skipped = Some(entry.notification.id);
                    return SKIPPED_BYTES;
                }
                taken.events += 1;
                skipped = None;
            }
            let skip = skipped.take().map(|skipped| shared.skip(skipped));
            let item = shared.frame(*id, preference, item);
            skip.into_iter().chain(item).map(|frame| push(taken, frame)).sum()
        };
        let turn = mailbox.take(*id, shared.clock.now(), MAX_TURN_BYTES, &mut write);
        if let Some(skipped) = skipped {
            push(taken, shared.skip(skipped));
        }
        if turn.outcome == TurnOutcome::LoggedOut && shared.policy().close_on_logout {
            shared.end(mailbox, *id, EndReason::Logout);
        }
        turn
    }
}

/// Adds a frame. Returns its size in bytes.
fn push(taken: &mut Taken, frame: Frame) -> usize {
    let bytes = frame.len();
    match taken.first {
        None => taken.first = Some(frame),
        Some(_) => taken.rest.push(frame),
    }
    bytes
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.close(EndReason::Client);
    }
}

impl Shared {
    /// Records that a stream has passed an event that its client does not ask for.
    fn record_skip(&self, entry: &Entry<Encoded>, delivery: Delivery) {
        if delivery == (Delivery::Live { is_last: true }) {
            self.count_latency(entry);
        }
    }

    /// Returns the frame for a client that does not ask for the events up to `position`. The client returns with their id, and the connection
    /// is not silent, because the session counts every event as written.
    fn skip(&self, position: EventId) -> Frame {
        if self.keeps_history() { self.frames.position(position) } else { self.frames.keepalive() }
    }

    /// Returns the frame for an item that the stream `id` takes. None for a note that has nothing to send.
    fn frame(&self, id: StreamId, preference: &LanguagePreference, item: Item<'_, Encoded>) -> Option<Frame> {
        match item {
            Item::Event(entry, delivery) => {
                match delivery {
                    Delivery::Replay => self.metrics.replayed(),
                    Delivery::Live { is_last: true } => self.count_latency(entry),
                    Delivery::Live { is_last: false } => {}
                }
                Some(entry.encoded.frame(&entry.notification, preference, &*self.frames))
            }
            Item::Gap(gap, position) => {
                self.metrics.gap_reported(gap.reason);
                Some(self.frames.gap(&gap, position))
            }
            Item::Note(note, position) => self.note(id, preference, note, position),
            Item::Closing(reason) => {
                let time = (reason == EndReason::Stopping).then(|| {
                    let time = self.policy().reconnection_time.unwrap_or(DEFAULT_RECONNECTION_TIME);
                    Jitter::of(id.number()).lengthen(time) + self.return_wait()
                });
                Some(self.frames.closing(reason, time))
            }
        }
    }

    fn note(
        &self,
        id: StreamId,
        preference: &LanguagePreference,
        note: Note,
        position: Option<EventId>,
    ) -> Option<Frame> {
        // Without a history a client cannot resume at an id.
        let position = position.filter(|_| self.keeps_history());
        match note {
            Note::Opening => {
                let time = self.policy().reconnection_time.map(|time| Jitter::of(id.number()).lengthen(time));
                self.frames.opening(time, position)
            }
            Note::Language => Some(self.frames.language(&self.language(preference))),
            Note::Keepalive => Some(self.frames.keepalive()),
            Note::Position => position.map(|position| self.frames.position(position)),
        }
    }
}
