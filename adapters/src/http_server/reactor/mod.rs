//! An event loop that writes streaming answers in the clear.
//!
//! hyper keeps two buffers and a task for each connection, for as long as it lives. An event stream needs neither: mostly
//! there is nothing to write, and its client has nothing more to say. So when the head of such an answer has gone out, the
//! socket leaves hyper and the runtime, and becomes an entry of a slab. One task serves all of them: it hears of clients that close and of sockets
//! that can be written to again, and writes where a body has something to give. Other threads help when many are to be written to
//! and nothing more comes. While more comes they would not help: what waits for a stream goes out in one write, and who writes
//! sooner writes more often.
//!
//! It keeps the deadlines of its connections as [`deadlines`](super::deadlines) has them.

mod connection;
mod inbox;
mod poller;
mod work_batch;

use std::{
    collections::VecDeque, future::poll_fn, io, panic::resume_unwind, sync::Arc, task::Poll, time::Duration,
};

use mio::{Events, Token};
use slab::Slab;
use tokio::{runtime::Handle, task::yield_now};
use tokio_util::time::{DelayQueue, delay_queue::Expired};
use tracing::{debug, error};

pub(super) use self::{
    connection::Arrival,
    inbox::{End, Inbox, ReactorHandle},
};
use self::{
    connection::{Connection, Scratch, WriteOutcome},
    inbox::Incoming,
    poller::Poller,
    work_batch::WorkItem,
};
use super::admission::Connections;

/// After so many turns, of some ten microseconds each, other tasks of the same thread have theirs. The runtime's own pauses are so
/// short that threads would be woken for nothing most of the time. (Tests have few connections.)
const TURNS: usize = if cfg!(test) { 4 } else { 128 };

/// When the slab is full, it grows by this part of its size …
const GROWTH: usize = 8;
/// … and by so many entries.
const MIN_GROWTH: usize = 64;

/// Serves all connections that are handed off to it.
pub(super) struct Reactor {
    inbox: Arc<Inbox>,
    open: Arc<Connections>,
    poller: Poller,
    /// None where another thread has one.
    connections: Slab<Option<Connection>>,
    incoming: Incoming,
    /// Connections whose client has sent something or has closed.
    readable: VecDeque<usize>,
    /// When clients have to have done something for which their connection waits.
    deadlines: DelayQueue<usize>,
    write_timeout: Duration,
    scratch: Scratch,
}

impl Reactor {
    /// An empty one, whose clients have `write_timeout` to take something of what waits for them. `connections` counts its connections.
    /// Called within a runtime.
    pub(super) fn new(connections: Arc<Connections>, write_timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            open: connections,
            inbox: Arc::default(),
            poller: Poller::new()?,
            connections: Slab::new(),
            incoming: Incoming::default(),
            readable: VecDeque::new(),
            deadlines: DelayQueue::new(),
            write_timeout,
            scratch: Scratch::new(),
        })
    }

    /// Where connections are handed off.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Serves until its inbox says that it is to end, and then cuts the connections that are still there.
    pub(super) async fn run(mut self) {
        while !self.is_over() {
            let served = if self.has_work() { self.round().await } else { self.wait().await };
            if let Err(error) = served {
                error!(%error, "clients can no longer be watched");
                break;
            }
        }
        for (_, connection) in &mut self.connections {
            if let Some(connection) = connection.take_if(|connection| !connection.is_ending()) {
                connection.reset();
            }
            self.open.leave();
        }
    }

    fn is_over(&self) -> bool {
        match self.incoming.end {
            End::Open => false,
            End::Empty => !self.has_work() && self.connections.is_empty(),
            End::Now => true,
        }
    }

    fn has_work(&self) -> bool {
        !self.incoming.is_empty() || !self.readable.is_empty()
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> io::Result<()> {
        tokio::select! {
            // Another thread has something for a connection, or hands one off.
            incoming = self.inbox.incoming() => self.add(incoming),
            // The kernel has news of a client.
            polled = self.poller.wait() => {
                polled?;
                note(self.poller.events(), &mut self.readable, &mut self.incoming.ready);
            }
            // A client's time has passed.
            key = overdue(&mut self.deadlines) => self.time_out(key),
        }
        Ok(())
    }

    /// Serves some of the connections that have something to do. When there are more, other tasks have their turn, and what has come
    /// meanwhile is looked at.
    async fn round(&mut self) -> io::Result<()> {
        for _ in 0..TURNS {
            if !self.has_work() {
                return Ok(());
            }
            if let Some(arrival) = self.incoming.arrivals.pop_front() {
                self.enter(arrival);
            }
            if let Some(key) = self.incoming.ready.pop_front() {
                self.write(key);
            }
            if let Some(key) = self.readable.pop_front() {
                self.read(key);
            }
        }
        yield_now().await;
        self.poller.look()?;
        note(self.poller.events(), &mut self.readable, &mut self.incoming.ready);
        while let Some(key) = overdue_now(&mut self.deadlines).await {
            self.time_out(key);
        }
        let incoming = self.inbox.take();
        let more_comes = !incoming.is_empty();
        self.add(incoming);
        if !more_comes {
            self.share().await;
        }
        Ok(())
    }

    fn add(&mut self, mut incoming: Incoming) {
        self.incoming.arrivals.append(&mut incoming.arrivals);
        self.incoming.ready.append(&mut incoming.ready);
        self.incoming.end = self.incoming.end.max(incoming.end);
    }

    /// Has all threads write, if there is enough for them.
    async fn share(&mut self) {
        let threads = Handle::current().metrics().num_workers().min(self.incoming.ready.len() / TURNS);
        if threads < 2 {
            return;
        }
        let keys = Vec::from(std::mem::take(&mut self.incoming.ready));
        let parts = keys.chunks(keys.len().div_ceil(threads));
        let batches: Vec<_> =
            parts.map(|keys| tokio::spawn(work_batch::serve(self.batch_of(keys)))).collect();
        for batch in batches {
            match batch.await {
                Ok(batch) => self.reclaim(batch),
                // A fault in a connection is the reactor's, whichever thread has met it.
                Err(fault) => fault.try_into_panic().map_or((), |panic| resume_unwind(panic)),
            }
        }
    }

    /// Takes these connections out of the slab. A key that comes twice counts once.
    fn batch_of(&mut self, keys: &[usize]) -> Vec<WorkItem> {
        let mut batch = Vec::with_capacity(keys.len());
        for &key in keys {
            if let Some(connection) = self.connections.get_mut(key).and_then(Option::take) {
                batch.push(WorkItem { key, connection, outcome: WriteOutcome::Idle });
            }
        }
        batch
    }

    fn reclaim(&mut self, batch: Vec<WorkItem>) {
        for WorkItem { key, connection, outcome } in batch {
            self.connections[key] = Some(connection);
            self.follow(key, outcome);
        }
    }

    fn enter(&mut self, arrival: Arrival) {
        if self.connections.len() == self.connections.capacity() {
            // Twice as many entries would leave up to half of them unused.
            self.connections.reserve_exact(self.connections.len() / GROWTH + MIN_GROWTH);
        }
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let mut connection = Connection::new(arrival, ReactorHandle::new(Arc::clone(&self.inbox), key));
        match self.poller.add(key, &mut connection.socket) {
            Ok(()) => {
                entry.insert(Some(connection));
                self.write(key);
            }
            Err(error) => {
                debug!(%error, "stream given up");
                self.open.leave();
            }
        }
    }

    /// Lets a connection write what there is to write.
    fn write(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key) {
            let outcome = connection.write(&mut self.scratch);
            self.follow(key, outcome);
        }
    }

    /// Does what follows from a connection's write.
    fn follow(&mut self, key: usize, outcome: WriteOutcome) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        let (followed, progressed) = match outcome {
            WriteOutcome::Idle if connection.unfinished.is_none() => return,
            WriteOutcome::Idle => (Ok(()), true),
            WriteOutcome::MoreToWrite => {
                connection.handle.wake();
                (Ok(()), true)
            }
            WriteOutcome::WouldBlock { progressed } => {
                (self.poller.until_writable(key, &mut connection.socket), progressed)
            }
            WriteOutcome::Finished => (connection.linger(), true),
            WriteOutcome::Failed => return self.close(key),
        };
        match followed {
            Ok(()) => self.set_deadline(key, progressed),
            Err(error) => {
                debug!(%error, "stream given up");
                self.close(key);
            }
        }
    }

    /// Sets the deadline for what a connection waits for, or takes it away. Progress defers it, but not that of the connection's end.
    fn set_deadline(&mut self, key: usize, progressed: bool) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        let is_ending = connection.is_ending();
        if !connection.waits_for_client() && !is_ending {
            let deadline = connection.unfinished.take().and_then(|unfinished| unfinished.deadline);
            if let Some(deadline) = deadline {
                self.deadlines.remove(&deadline);
            }
            return;
        }
        let unfinished = connection.unfinished.get_or_insert_default();
        let begins_to_end = is_ending && !std::mem::replace(&mut unfinished.is_last, is_ending);
        match &unfinished.deadline {
            None => unfinished.deadline = Some(self.deadlines.insert(key, self.write_timeout)),
            Some(deadline) if begins_to_end || (progressed && !is_ending) => {
                self.deadlines.reset(deadline, self.write_timeout);
            }
            Some(_) => {}
        }
    }

    /// Cuts a connection whose client has not done what it had to in time.
    fn time_out(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key) {
            if let Some(unfinished) = &mut connection.unfinished {
                unfinished.deadline = None;
            }
            connection.handle.time_out();
            connection.reset();
            self.open.metrics().write_timed_out();
            self.close(key);
        }
    }

    /// Reads what a connection's client has sent, or that it has gone.
    fn read(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key)
            && connection.has_gone(&mut self.scratch)
        {
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        let Some(connection) = self.connections.try_remove(key).flatten() else { return };
        let deadline = connection.unfinished.as_ref().and_then(|unfinished| unfinished.deadline);
        if let Some(deadline) = deadline {
            self.deadlines.remove(&deadline);
        }
        self.open.leave();
    }
}

/// Notes which connections have something to do.
fn note(events: &Events, readable: &mut VecDeque<usize>, writable: &mut VecDeque<usize>) {
    for event in events {
        let Token(key) = event.token();
        if event.is_readable() {
            readable.push_back(key);
        }
        if event.is_writable() {
            writable.push_back(key);
        }
    }
}

/// Waits for the next deadline that passes.
async fn overdue(deadlines: &mut DelayQueue<usize>) -> usize {
    poll_fn(|context| match deadlines.poll_expired(context) {
        Poll::Ready(Some(expired)) => Poll::Ready(expired.into_inner()),
        // It is asked again when there is one.
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    })
    .await
}

/// A deadline that has passed, if one has.
async fn overdue_now(deadlines: &mut DelayQueue<usize>) -> Option<usize> {
    poll_fn(|context| match deadlines.poll_expired(context) {
        Poll::Ready(expired) => Poll::Ready(expired.map(Expired::into_inner)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests;
