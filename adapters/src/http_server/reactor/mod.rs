//! An event loop that writes streaming responses over HTTP/1.1, in the clear and over TLS.
//!
//! hyper keeps two buffers and a task for each connection until it ends. An event stream needs neither: most of the time there is nothing
//! to write, and its client sends nothing more. So after the response head the socket leaves hyper and the runtime, and becomes an entry of
//! a slab. One task serves all entries: it polls the sockets for readiness, and writes where a body has bytes.
//!
//! When many connections are ready and the inbox is empty, the other threads of the runtime write too. While the inbox fills, parallel
//! writes would not help: all waiting bytes of a stream go out in one write, so earlier writes are only more writes.
//!
//! The reactor enforces the deadlines of its connections as described in [`deadlines`](super::deadlines).

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
    connection::NewConnection,
    inbox::{Inbox, ReactorHandle, ShutdownMode},
};
use self::{
    connection::{Connection, Deadline, Scratch, WriteOutcome},
    inbox::{Incoming, Suspension},
    poller::Poller,
    work_batch::WorkItem,
};
use super::{ConnectionHandle, admission::Connections};

/// Number of connections served before the reactor yields to other tasks of its thread; each takes about ten microseconds (measured).
/// tokio's own budget is so small that threads would be woken in vain most of the time. Tests use a small number, because they have few
/// connections.
const CONNECTIONS_PER_ROUND: usize = if cfg!(test) { 4 } else { 128 };

/// A full slab grows by its length divided by this, plus [`MIN_GROWTH`].
const GROWTH_DIVISOR: usize = 8;
/// Minimum number of entries by which a full slab grows.
const MIN_GROWTH: usize = 64;

/// Serves all connections that are handed off to it.
pub(super) struct Reactor {
    inbox: Arc<Inbox>,
    open_connections: Arc<Connections>,
    poller: Poller,
    /// An entry is `None` while another thread writes to its connection.
    connections: Slab<Option<Connection>>,
    incoming: Incoming,
    /// Keys of connections whose client has sent bytes or has closed.
    readable: VecDeque<usize>,
    /// The deadlines of connections that wait for their client.
    deadlines: DelayQueue<usize>,
    write_timeout: Duration,
    scratch: Scratch,
}

impl Reactor {
    /// Creates a reactor without connections. `write_timeout` is the timeout for a client to take some of the waiting bytes; `connections`
    /// counts the connections.
    ///
    /// # Errors
    ///
    /// The poller cannot be created.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(super) fn new(connections: Arc<Connections>, write_timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            open_connections: connections,
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

    /// Returns the inbox by which connections are handed off.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Serves connections until the inbox requests the shutdown, then resets the remaining ones.
    pub(super) async fn run(mut self) {
        while !self.is_over() {
            let result = if self.has_work() { self.run_round().await } else { self.wait().await };
            if let Err(error) = result {
                error!(%error, "polling of connections failed");
                break;
            }
        }
        for (_, connection) in &mut self.connections {
            if let Some(connection) = connection.take_if(|connection| !connection.is_ending()) {
                connection.reset();
            }
            self.open_connections.leave();
        }
    }

    fn is_over(&self) -> bool {
        match self.incoming.shutdown {
            ShutdownMode::Running => false,
            ShutdownMode::WhenEmpty => !self.has_work() && self.connections.is_empty(),
            ShutdownMode::Now => true,
        }
    }

    fn has_work(&self) -> bool {
        !self.incoming.is_empty() || !self.readable.is_empty()
    }

    /// Waits for the next event.
    async fn wait(&mut self) -> io::Result<()> {
        tokio::select! {
            // Another thread has notified a connection or handed one off.
            incoming = self.inbox.incoming() => self.merge(incoming),
            // A socket is readable or writable.
            polled = self.poller.wait() => {
                polled?;
                queue_events(self.poller.events(), &mut self.readable, &mut self.incoming.ready);
            }
            // A deadline has passed.
            key = next_expired(&mut self.deadlines) => self.time_out(key),
        }
        Ok(())
    }

    /// Serves up to [`CONNECTIONS_PER_ROUND`] ready connections. If more are ready, it yields to other tasks and then polls for new events.
    async fn run_round(&mut self) -> io::Result<()> {
        for _ in 0..CONNECTIONS_PER_ROUND {
            if !self.has_work() {
                return Ok(());
            }
            if let Some(new_connection) = self.incoming.new_connections.pop_front() {
                self.insert(new_connection);
            }
            if let Some(suspension) = self.incoming.suspensions.pop_front() {
                self.suspend(suspension);
            }
            if let Some((key, handle)) = self.incoming.released.pop_front() {
                self.release(key, &handle);
            }
            if let Some(key) = self.incoming.ready.pop_front() {
                self.write(key);
            }
            if let Some(key) = self.readable.pop_front() {
                self.handle_readable(key);
            }
        }
        yield_now().await;
        self.poller.poll_now()?;
        queue_events(self.poller.events(), &mut self.readable, &mut self.incoming.ready);
        while let Some(key) = try_next_expired(&mut self.deadlines).await {
            self.time_out(key);
        }
        let incoming = self.inbox.take();
        let has_incoming = !incoming.is_empty();
        self.merge(incoming);
        if !has_incoming {
            self.write_in_parallel().await;
        }
        Ok(())
    }

    fn merge(&mut self, mut incoming: Incoming) {
        self.incoming.new_connections.append(&mut incoming.new_connections);
        self.incoming.ready.append(&mut incoming.ready);
        self.incoming.suspensions.append(&mut incoming.suspensions);
        self.incoming.released.append(&mut incoming.released);
        self.incoming.shutdown = self.incoming.shutdown.max(incoming.shutdown);
    }

    /// Lets all threads of the runtime write, if enough connections are ready.
    async fn write_in_parallel(&mut self) {
        let threads =
            Handle::current().metrics().num_workers().min(self.incoming.ready.len() / CONNECTIONS_PER_ROUND);
        if threads < 2 {
            return;
        }
        let keys = Vec::from(std::mem::take(&mut self.incoming.ready));
        let parts = keys.chunks(keys.len().div_ceil(threads));
        let batches: Vec<_> =
            parts.map(|keys| tokio::spawn(work_batch::write_all(self.take_batch(keys)))).collect();
        for batch in batches {
            match batch.await {
                Ok(batch) => self.reclaim(batch),
                // A panic on another thread ends the reactor, as one on its own thread does.
                Err(error) => error.try_into_panic().map_or((), |panic| resume_unwind(panic)),
            }
        }
    }

    /// Takes these connections out of the slab. A repeated key counts once.
    fn take_batch(&mut self, keys: &[usize]) -> Vec<WorkItem> {
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
            self.handle_outcome(key, outcome);
        }
    }

    fn insert(&mut self, new_connection: NewConnection) {
        if self.connections.len() == self.connections.capacity() {
            // Doubling would leave up to half of the entries unused.
            self.connections.reserve_exact(self.connections.len() / GROWTH_DIVISOR + MIN_GROWTH);
        }
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let mut connection =
            Connection::new(new_connection, ReactorHandle::new(Arc::clone(&self.inbox), key));
        match self.poller.register(key, &mut connection.socket) {
            Ok(()) => {
                entry.insert(Some(connection));
                self.write(key);
            }
            Err(error) => {
                debug!(%error, "stream failed");
                self.open_connections.leave();
            }
        }
    }

    /// Writes the available bytes of a connection.
    fn write(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key) {
            let outcome = connection.write(&mut self.scratch);
            self.handle_outcome(key, outcome);
        }
    }

    /// Updates readiness interest and deadline of a connection after a write, or closes it.
    fn handle_outcome(&mut self, key: usize, outcome: WriteOutcome) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        let (result, progressed) = match outcome {
            WriteOutcome::Idle if connection.deadline().is_none() => return,
            WriteOutcome::Idle => (Ok(()), true),
            WriteOutcome::MoreToWrite => {
                connection.handle.wake();
                (Ok(()), true)
            }
            WriteOutcome::WouldBlock { progressed } => {
                (self.poller.register_writable(key, &mut connection.socket), progressed)
            }
            WriteOutcome::Finished => (connection.linger(), true),
            WriteOutcome::Suspended => return,
            WriteOutcome::Failed => return self.close(key),
        };
        match result {
            Ok(()) => self.set_deadline(key, progressed),
            Err(error) => {
                debug!(%error, "stream failed");
                self.close(key);
            }
        }
    }

    /// Sets or removes the deadline of a connection. Progress extends the deadline, unless the response is ending.
    fn set_deadline(&mut self, key: usize, progressed: bool) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        let is_ending = connection.is_ending();
        if !connection.waits_for_client() && !is_ending {
            return self.remove_deadline(key);
        }
        let deadline = connection.deadline().copied();
        let starts_to_end = is_ending && deadline.is_some_and(|deadline| !deadline.is_final);
        let deadline = match deadline {
            None => self.deadlines.insert(key, self.write_timeout),
            Some(Deadline { key: deadline, .. }) => {
                if starts_to_end || (progressed && !is_ending) {
                    self.deadlines.reset(&deadline, self.write_timeout);
                }
                deadline
            }
        };
        connection.set_deadline(Deadline { key: deadline, is_final: is_ending });
    }

    fn remove_deadline(&mut self, key: usize) {
        let connection = self.connections.get_mut(key).and_then(Option::as_mut);
        if let Some(deadline) = connection.and_then(Connection::take_deadline) {
            self.deadlines.remove(&deadline.key);
        }
    }

    /// Suspends a connection, so that another process can continue it.
    fn suspend(&mut self, Suspension { key, handle, on_suspended }: Suspension) {
        let connection = self.connections.get_mut(key).and_then(Option::as_mut);
        let connection = connection.filter(|connection| connection.handle.is_same(&handle));
        let suspended = connection.and_then(Connection::suspend);
        if suspended.is_some() {
            // Its client has a new deadline when the connection is resumed.
            self.remove_deadline(key);
        }
        on_suspended(suspended);
    }

    /// Gives up a suspended connection: its socket stays open in the process that continues it.
    fn release(&mut self, key: usize, handle: &ConnectionHandle) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        if !connection.handle.is_same(handle) {
            return;
        }
        if let Err(error) = self.poller.deregister(&mut connection.socket) {
            debug!(%error, "socket is still polled");
        }
        self.close(key);
    }

    /// Cuts a connection whose deadline has passed.
    fn time_out(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key) {
            connection.take_deadline();
            connection.handle.time_out();
            connection.reset();
            self.open_connections.metrics().write_timed_out();
            self.close(key);
        }
    }

    /// Discards the input of a connection, and closes it if its client has closed or has sent too many bytes.
    fn handle_readable(&mut self, key: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(key)
            && connection.discard_input(&mut self.scratch)
        {
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        self.remove_deadline(key);
        if self.connections.try_remove(key).flatten().is_some() {
            self.open_connections.leave();
        }
    }
}

/// Queues the keys of connections with events.
fn queue_events(events: &Events, readable: &mut VecDeque<usize>, writable: &mut VecDeque<usize>) {
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

/// Waits until a deadline passes and returns its connection's key.
async fn next_expired(deadlines: &mut DelayQueue<usize>) -> usize {
    poll_fn(|context| match deadlines.poll_expired(context) {
        Poll::Ready(Some(expired)) => Poll::Ready(expired.into_inner()),
        // An empty queue is polled again when the reactor waits the next time.
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    })
    .await
}

/// Returns the key of a connection whose deadline has passed, if there is one.
async fn try_next_expired(deadlines: &mut DelayQueue<usize>) -> Option<usize> {
    poll_fn(|context| match deadlines.poll_expired(context) {
        Poll::Ready(expired) => Poll::Ready(expired.map(Expired::into_inner)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests;
