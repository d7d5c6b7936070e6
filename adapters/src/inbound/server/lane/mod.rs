//! The lane: where the answers without an end are written.
//!
//! hyper keeps two buffers and a task for each connection, for as long as it lives. An event stream needs neither: mostly
//! there is nothing to write, and its client has nothing more to say. So when the head of such an answer has gone out, the
//! socket leaves hyper and the runtime, and becomes a place in a slab. One task serves all of them: it watches one epoll for
//! ends and for sockets that can be written to again, and writes where a body has something to give.

mod connection;
mod inbox;
mod watch;

use std::{io, sync::Arc, task::Context};

use slab::Slab;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub(super) use self::{
    connection::Arrival,
    inbox::{Inbox, Place},
};
use self::{
    connection::{Connection, Scratch, Turn},
    inbox::Waiting,
    watch::Watch,
};

/// After so many turns, of some ten microseconds each, other tasks of the same thread have theirs.
const TURNS: usize = 512;

/// When there is no place left, so many more are made as are this part of the present ones …
const GROWTH: usize = 8;
/// … and so many.
const LEAST_GROWTH: usize = 64;

/// Serves all connections that have come to it.
pub(super) struct Lane {
    inbox: Arc<Inbox>,
    watch: Watch,
    connections: Slab<Connection>,
    scratch: Scratch,
}

impl Lane {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        let inbox = Arc::<Inbox>::default();
        let watch = Watch::start(Arc::clone(&inbox))?;
        Ok(Self { inbox, watch, connections: Slab::new(), scratch: Scratch::new() })
    }

    /// Where connections come in.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Serves until `last` is cancelled and nobody is left, or until `abort` is, and then cuts whoever is still there. After
    /// `last` nobody may come.
    pub(super) async fn run(mut self, last: CancellationToken, abort: CancellationToken) {
        let inbox = self.inbox();
        while !(last.is_cancelled() && inbox.is_empty() && self.connections.is_empty()) {
            tokio::select! {
                // Somebody comes or leaves, or there is something to write.
                waiting = inbox.waiting() => self.serve(waiting).await,
                // It has to be seen whether anybody is left.
                () = last.cancelled(), if !last.is_cancelled() => {}
                // Our time is over.
                () = abort.cancelled() => break,
            }
        }
        for (_, connection) in &self.connections {
            connection.cut();
        }
    }

    /// Now and then others have their turn.
    async fn serve(&mut self, Waiting { arrivals, ready, spoken }: Waiting) {
        for (arrival, number) in arrivals.into_iter().zip(1..) {
            self.enter(arrival);
            pause_after(number).await;
        }
        for (key, number) in ready.into_iter().zip(1..) {
            self.turn(key);
            pause_after(number).await;
        }
        for (key, number) in spoken.into_iter().zip(1..) {
            if self.connections.get_mut(key).is_some_and(|connection| connection.has_left(&mut self.scratch))
            {
                self.connections.remove(key);
            }
            pause_after(number).await;
        }
    }

    fn enter(&mut self, arrival: Arrival) {
        if self.connections.len() == self.connections.capacity() {
            // Twice as many places would leave up to half of them unused.
            self.connections.reserve_exact(self.connections.len() / GROWTH + LEAST_GROWTH);
        }
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let place = Place::new(Arc::clone(&self.inbox), key);
        let mut connection = Connection::new(arrival, place);
        match self.watch.add(key, &mut connection.socket) {
            Ok(()) => {
                entry.insert(connection);
                self.turn(key);
            }
            Err(error) => debug!(%error, "a stream was given up"),
        }
    }

    /// Lets a connection write what there is to write.
    fn turn(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let waker = connection.line.waker();
        match connection.turn(&mut Context::from_waker(&waker), &mut self.scratch) {
            Turn::Nothing => {}
            Turn::More => connection.line.wake(),
            Turn::Blocked => {
                if let Err(error) = self.watch.until_writable(key, &mut connection.socket) {
                    debug!(%error, "a stream was given up");
                    self.connections.remove(key);
                }
            }
            Turn::Ended => {
                let mut connection = self.connections.remove(key);
                match self.watch.remove(&mut connection.socket) {
                    Ok(()) => drop(tokio::spawn(connection.farewell())),
                    Err(error) => debug!(%error, "a client has gone"),
                }
            }
            Turn::Broken => drop(self.connections.remove(key)),
        }
    }
}

/// The runtime's own pauses are so short that threads would be woken for nothing most of the time.
async fn pause_after(number: usize) {
    if number.is_multiple_of(TURNS) {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests;
