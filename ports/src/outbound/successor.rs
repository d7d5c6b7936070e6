use async_trait::async_trait;

use crate::inbound::{ContinuedStream, SuspendedConnection};

/// The process that takes over from this one.
#[async_trait]
pub trait Successor: Send + Sync {
    /// Hands over streams, and returns when the successor has confirmed that it continues them. From then on this process must not write to
    /// their connections. At most [`MAX_STREAMS`] at a time.
    ///
    /// # Errors
    ///
    /// The successor has not confirmed, and will continue none of these streams: this process continues them. Every later call fails too.
    async fn hand_over(
        &self,
        streams: Vec<(ContinuedStream, SuspendedConnection)>,
    ) -> Result<(), SuccessorLost>;
}

/// Maximum number of streams that are handed over at a time: a message on a Unix socket has at most 253 descriptors (`SCM_MAX_FD`).
pub const MAX_STREAMS: usize = 250;

/// The successor has ended, or has not answered in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the successor is lost: {cause}")]
pub struct SuccessorLost {
    /// The cause, for an administrator.
    pub cause: String,
}
