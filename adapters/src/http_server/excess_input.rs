//! What a client says behind its request. Nobody reads it.

/// So much it may be.
const MOST_BYTES: u32 = 64 * 1024;

/// How many bytes it is so far.
#[derive(Clone, Copy, Default)]
pub(super) struct ExcessInput(u32);

impl ExcessInput {
    /// So many have come.
    pub(super) fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Whether they are more than anybody would send.
    pub(super) fn exceeds_limit(self) -> bool {
        self.0 > MOST_BYTES
    }
}
