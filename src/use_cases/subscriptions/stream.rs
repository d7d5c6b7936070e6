//! The interface of a stream for its connection.

use std::{sync::Arc, time::Duration};

use domain::{
    jitter::Jitter,
    language::LanguagePreference,
    log::{Delivery, EndReason, Item, Note, StreamId, Turn, TurnOutcome},
    notification::EventId,
};
use ports::{
    Frame,
    inbound::{EventStream, Taken},
};

use super::{Encoded, Mailbox, Shared};

/// Maximum number of bytes that a connection takes at a time. A single larger event is taken as well.
const MAX_TURN_BYTES: usize = 64 * 1024;
/// Reconnection time that is sent when the service stops and none is configured.
const DEFAULT_RECONNECTION_TIME: Duration = Duration::from_secs(3);

/// An open stream. Dropping it closes the stream.
pub(super) struct OpenStream {
    pub(super) shared: Arc<Shared>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) id: StreamId,
}

impl EventStream for OpenStream {
    fn take(&mut self) -> Taken {
        let Self { shared, mailbox, id } = self;
        let mut taken = Taken::default();
        let mut write = |preference: &LanguagePreference, item: Item<'_, Encoded>| {
            let Some(frame) = shared.frame(*id, preference, item) else { return 0 };
            let bytes = frame.len();
            match taken.first {
                None => taken.first = Some(frame),
                Some(_) => taken.rest.push(frame),
            }
            bytes
        };
        let now = shared.clock.now();
        let Turn { mut outcome, was_woken } = mailbox.take(*id, now, MAX_TURN_BYTES, &mut write);
        if was_woken {
            shared.pace.taken();
        }
        if outcome == TurnOutcome::LoggedOut {
            if shared.policy().close_on_logout {
                shared.end(mailbox, *id, EndReason::Logout);
            }
            outcome = mailbox.take(*id, now, MAX_TURN_BYTES, &mut write).outcome;
        }
        taken.is_last = outcome == TurnOutcome::End;
        taken
    }

    fn close(&mut self, reason: EndReason) {
        self.shared.close(&self.mailbox, self.id, reason);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.close(EndReason::Client);
    }
}

impl Shared {
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
                    Jitter::of(id.number()).lengthen(time)
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
