//! Connections that are lent to another thread.

use tokio::task::yield_now;

use super::{
    TURNS,
    connection::{Connection, Scratch, WriteOutcome},
};

/// A connection that has its turn elsewhere.
pub(super) struct WorkItem {
    /// Its place in the lane.
    pub(super) key: usize,
    pub(super) connection: Connection,
    /// What has come of its turn.
    pub(super) turn: WriteOutcome,
}

/// Gives each its turn. Now and then other tasks of the same thread have theirs.
pub(super) async fn serve(mut loan: Vec<WorkItem>) -> Vec<WorkItem> {
    let mut scratch = Scratch::new();
    for some in loan.chunks_mut(TURNS) {
        for lent in some {
            lent.turn = lent.connection.turn(&mut scratch);
        }
        yield_now().await;
    }
    loan
}
