//! Connections that are lent to another thread.

use tokio::task::yield_now;

use super::{
    TURNS,
    connection::{Connection, Scratch, Turn},
};

/// A connection that has its turn elsewhere.
pub(super) struct Lent {
    /// Its place in the lane.
    pub(super) key: usize,
    pub(super) connection: Connection,
    /// What has come of its turn.
    pub(super) turn: Turn,
}

/// Gives each its turn. Now and then other tasks of the same thread have theirs.
pub(super) async fn serve(mut loan: Vec<Lent>) -> Vec<Lent> {
    let mut scratch = Scratch::new();
    for some in loan.chunks_mut(TURNS) {
        for lent in some {
            lent.turn = lent.connection.turn(&mut scratch);
        }
        yield_now().await;
    }
    loan
}
