//! Bytes that a client sends after its request while its connection carries a stream. They are discarded up to a limit.

/// Maximum number of discarded bytes; a client that sends more is cut.
const MAX_BYTES: u32 = 64 * 1024;

/// The number of excess bytes received.
#[derive(Clone, Copy, Default)]
pub(super) struct ExcessInput(u32);

impl ExcessInput {
    pub(super) fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(super) fn of(bytes: u32) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(self) -> u32 {
        self.0
    }

    pub(super) fn exceeds_limit(self) -> bool {
        self.0 > MAX_BYTES
    }
}
