//! What is written to a stream and is not an event.

/// Something that is written to a stream and is not an event. Of each at most one is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The first of a stream: how long to wait before a reconnection, and the id to come back with.
    Opening = 1,
    /// Another language is preferred than before.
    Language = 2,
    /// A comment that keeps the connection alive.
    Keepalive = 4,
    /// A newer id to come back with.
    Position = 8,
}

/// The notes that are pending.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes(u8);

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        self.0 |= note as u8;
    }

    pub(super) fn has(self, note: Note) -> bool {
        self.0 & note as u8 != 0
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Note> {
        let pending = std::mem::take(self);
        let order = [Note::Opening, Note::Language, Note::Keepalive, Note::Position];
        order.into_iter().filter(move |note| pending.has(*note))
    }
}
