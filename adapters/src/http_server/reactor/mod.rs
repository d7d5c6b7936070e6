//! The lane: where the answers without an end are written.
//!
//! hyper keeps two buffers and a task for each connection, for as long as it lives. An event stream needs neither: mostly
//! there is nothing to write, and its client has nothing more to say. So when the head of such an answer has gone out, the
//! socket leaves hyper and the runtime, and becomes a place in a slab. One task serves all of them: it hears of ends and of sockets
//! that can be written to again, and writes where a body has something to give. Other threads help when many are to be written to
//! and nothing more comes. While more comes they would not help: what waits for a stream goes out in one write, and who writes
//! sooner writes more often.

mod connection;
mod inbox;
mod poller;
mod work_batch;

use std::{io, panic::resume_unwind, sync::Arc};

use slab::Slab;
use tokio::{runtime::Handle, task::yield_now};
use tracing::debug;

pub(super) use self::{
    connection::Arrival,
    inbox::{End, Inbox, ReactorHandle},
};
use self::{
    connection::{Connection, Scratch, WriteOutcome},
    inbox::Waiting,
    poller::Poller,
    work_batch::WorkItem,
};

/// After so many turns, of some ten microseconds each, other tasks of the same thread have theirs. The runtime's own pauses are so
/// short that threads would be woken for nothing most of the time. (Tests have few connections.)
const TURNS: usize = if cfg!(test) { 4 } else { 128 };

/// When there is no place left, so many more are made as are this part of the present ones …
const GROWTH: usize = 8;
/// … and so many.
const LEAST_GROWTH: usize = 64;

/// Serves all connections that have come to it.
pub(super) struct Reactor {
    inbox: Arc<Inbox>,
    poller: Poller,
    /// None where one is lent.
    connections: Slab<Option<Connection>>,
    waiting: Waiting,
    scratch: Scratch,
}

impl Reactor {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        let inbox = Arc::<Inbox>::default();
        let poller = Poller::start(Arc::clone(&inbox))?;
        Ok(Self {
            inbox,
            poller,
            connections: Slab::new(),
            waiting: Waiting::default(),
            scratch: Scratch::new(),
        })
    }

    /// Where connections come in.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Serves until its inbox says that it is to end, and then cuts whoever is still there.
    pub(super) async fn run(mut self) {
        while !self.is_over() {
            if self.waiting.is_empty() {
                let news = self.inbox.waiting().await;
                self.waiting.append(news);
            } else {
                self.round().await;
            }
        }
        for connection in self.connections.iter().filter_map(|(_, connection)| connection.as_ref()) {
            connection.cut();
        }
    }

    fn is_over(&self) -> bool {
        match self.waiting.end {
            End::Open => false,
            End::Empty => self.waiting.is_empty() && self.connections.is_empty(),
            End::Now => true,
        }
    }

    /// Serves some of those who wait. When more do, others have their turn, and what has come meanwhile is looked at.
    async fn round(&mut self) {
        for _ in 0..TURNS {
            if self.waiting.is_empty() {
                return;
            }
            if let Some(arrival) = self.waiting.arrivals.pop_front() {
                self.enter(arrival);
            }
            if let Some(key) = self.waiting.ready.pop_front() {
                self.turn(key);
            }
            if let Some(key) = self.waiting.spoken.pop_front() {
                self.listen(key);
            }
        }
        yield_now().await;
        let news = self.inbox.take();
        let more_comes = !news.is_empty();
        self.waiting.append(news);
        if !more_comes {
            self.share().await;
        }
    }

    /// Has all threads write, if there is enough for them.
    async fn share(&mut self) {
        let hands = Handle::current().metrics().num_workers().min(self.waiting.ready.len() / TURNS);
        if hands < 2 {
            return;
        }
        let keys = Vec::from(std::mem::take(&mut self.waiting.ready));
        let parts = keys.chunks(keys.len().div_ceil(hands));
        let loans: Vec<_> = parts.map(|keys| tokio::spawn(work_batch::serve(self.lend(keys)))).collect();
        for loan in loans {
            match loan.await {
                Ok(loan) => self.reclaim(loan),
                // A fault in a connection is the lane's, whoever has met it.
                Err(fault) => fault.try_into_panic().map_or((), |panic| resume_unwind(panic)),
            }
        }
    }

    /// Takes these connections out of their places. Who is named twice is there once.
    fn lend(&mut self, keys: &[usize]) -> Vec<WorkItem> {
        let mut lent = Vec::with_capacity(keys.len());
        for &key in keys {
            if let Some(connection) = self.connections.get_mut(key).and_then(Option::take) {
                lent.push(WorkItem { key, connection, turn: WriteOutcome::Nothing });
            }
        }
        lent
    }

    fn reclaim(&mut self, loan: Vec<WorkItem>) {
        for WorkItem { key, connection, turn } in loan {
            self.connections[key] = Some(connection);
            self.follow(key, turn);
        }
    }

    fn enter(&mut self, arrival: Arrival) {
        if self.connections.len() == self.connections.capacity() {
            // Twice as many places would leave up to half of them unused.
            self.connections.reserve_exact(self.connections.len() / GROWTH + LEAST_GROWTH);
        }
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let place = ReactorHandle::new(Arc::clone(&self.inbox), key);
        let mut connection = Connection::new(arrival, place);
        match self.poller.add(key, &mut connection.socket) {
            Ok(()) => {
                entry.insert(Some(connection));
                self.turn(key);
            }
            Err(error) => debug!(%error, "a stream was given up"),
        }
    }

    /// Lets a connection write what there is to write.
    fn turn(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key) {
            let turn = connection.turn(&mut self.scratch);
            self.follow(key, turn);
        }
    }

    /// Does what follows from a connection's turn.
    fn follow(&mut self, key: usize, turn: WriteOutcome) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        match turn {
            WriteOutcome::Nothing => {}
            WriteOutcome::More => connection.handle.wake(),
            WriteOutcome::Blocked => {
                if let Err(error) = self.poller.until_writable(key, &mut connection.socket) {
                    debug!(%error, "a stream was given up");
                    self.connections.remove(key);
                }
            }
            WriteOutcome::Ended => {
                if let Some(mut connection) = self.connections.remove(key) {
                    match self.poller.remove(&mut connection.socket) {
                        Ok(()) => drop(tokio::spawn(connection.linger())),
                        Err(error) => debug!(%error, "a client has gone"),
                    }
                }
            }
            WriteOutcome::Broken => drop(self.connections.remove(key)),
        }
    }

    /// Hears what a connection's client has said, or that it has gone.
    fn listen(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key)
            && connection.has_left(&mut self.scratch)
        {
            self.connections.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
