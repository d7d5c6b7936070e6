//! Batches of connections to which other threads write for the reactor.

use tokio::task::yield_now;

use super::{
    CONNECTIONS_PER_ROUND,
    connection::{Connection, Scratch, WriteOutcome},
};

/// A connection that another thread writes to.
pub(super) struct WorkItem {
    /// The key of the connection in the reactor.
    pub(super) key: usize,
    pub(super) connection: Connection,
    /// The outcome of the write.
    pub(super) outcome: WriteOutcome,
}

/// Writes to each connection, and yields to other tasks after each [`CONNECTIONS_PER_ROUND`].
pub(super) async fn write_all(mut batch: Vec<WorkItem>) -> Vec<WorkItem> {
    let mut scratch = Scratch::new();
    for round in batch.chunks_mut(CONNECTIONS_PER_ROUND) {
        for item in round {
            item.outcome = item.connection.write(&mut scratch);
        }
        yield_now().await;
    }
    batch
}
