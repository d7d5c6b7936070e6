//! What a client sends behind its request, while its connection carries a stream. Nobody reads it.

/// As many bytes as are passed over.
const MAX_BYTES: u32 = 64 * 1024;

/// How many bytes have come so far.
#[derive(Clone, Copy, Default)]
pub(super) struct ExcessInput(u32);

impl ExcessInput {
    /// Counts `bytes` more.
    pub(super) fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Whether more have come than are passed over.
    pub(super) fn exceeds_limit(self) -> bool {
        self.0 > MAX_BYTES
    }
}
