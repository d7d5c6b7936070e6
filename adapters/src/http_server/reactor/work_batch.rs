//! Connections that another thread writes to for the reactor.

use tokio::task::yield_now;

use super::{
    TURNS,
    connection::{Connection, Scratch, WriteOutcome},
};

/// A connection on another thread.
pub(super) struct WorkItem {
    /// Its place in the reactor.
    pub(super) key: usize,
    pub(super) connection: Connection,
    /// What came of writing.
    pub(super) outcome: WriteOutcome,
}

/// Writes to each connection. Now and then other tasks of the same thread have their turn.
pub(super) async fn serve(mut batch: Vec<WorkItem>) -> Vec<WorkItem> {
    let mut scratch = Scratch::new();
    for some in batch.chunks_mut(TURNS) {
        for item in some {
            item.outcome = item.connection.write(&mut scratch);
        }
        yield_now().await;
    }
    batch
}
