//! What a stream writes besides events.

/// Something that a stream writes besides events. At most one of each kind is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The first block of a stream: the reconnection time, and the id to come back with.
    Opening = 1,
    /// A comment that the language of the stream has changed.
    Language = 2,
    /// A comment that keeps the connection alive.
    Keepalive = 4,
    /// A newer id to come back with.
    Position = 8,
}

/// The set of pending notes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes(u8);

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        self.0 |= note as u8;
    }

    /// Returns the set of these notes.
    pub(super) fn of(notes: &[Note]) -> Self {
        Self(notes.iter().fold(0, |set, note| set | *note as u8))
    }

    pub(super) fn has(self, note: Note) -> bool {
        self.0 & note as u8 != 0
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Note> + use<> {
        std::mem::take(self).pending()
    }

    /// Returns the pending notes in the order in which they are written.
    pub(super) fn pending(self) -> impl Iterator<Item = Note> + use<> {
        let order = [Note::Opening, Note::Language, Note::Keepalive, Note::Position];
        order.into_iter().filter(move |note| self.has(*note))
    }
}
