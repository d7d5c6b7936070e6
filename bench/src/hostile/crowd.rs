//! The open connections and the server's resources, measured periodically.

use std::{os::fd::OwnedFd, time::Duration};

use parking_lot::Mutex;
use procfs::ProcResult;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io,
};
use tokio::task::JoinSet;

use super::{
    Sample,
    report::{ClosedAfter, Phases, ServerUsage},
};
use crate::{
    ledger::now,
    process::{descriptors, usage},
    publisher::Error,
};

/// Descriptors of the server that ordinary requests may use.
const PROBE_DESCRIPTORS: usize = 2;

/// All connections of a run.
#[derive(Default)]
pub(super) struct Crowd {
    members: Mutex<Vec<Member>>,
    clients: Mutex<JoinSet<()>>,
}

struct Member {
    /// A second descriptor of the client's socket, for detecting its end: the client's task owns the first one. `None`
    /// at the end of the run.
    socket: Option<OwnedFd>,
    opened: u64,
    /// The time at which the server closed the connection.
    closed: Option<u64>,
}

impl Crowd {
    /// Adds a connection that was opened at `opened`, with the future that drives its client.
    pub(super) fn add(
        &self,
        socket: OwnedFd,
        opened: u64,
        client: impl Future<Output = ()> + Send + 'static,
    ) {
        self.members.lock().push(Member { socket: Some(socket), opened, closed: None });
        self.clients.lock().spawn(client);
    }

    pub(super) fn opened(&self) -> usize {
        self.members.lock().len()
    }

    /// Returns the number of connections that the server has closed.
    pub(super) fn closed(&self) -> usize {
        self.members.lock().iter().filter(|member| member.closed.is_some()).count()
    }

    /// Returns how long the closed connections were open; `None` if there is none.
    pub(super) fn closed_after(&self) -> Option<ClosedAfter> {
        let closed_after = |member: &Member| Some(member.closed?.saturating_sub(member.opened));
        let mut times: Vec<_> = self.members.lock().iter().filter_map(closed_after).collect();
        times.sort_unstable();
        let seconds = |time: &u64| Duration::from_nanos(*time).as_secs_f64();
        Some(ClosedAfter {
            min: seconds(times.first()?),
            median: seconds(times.get(times.len() / 2)?),
            max: seconds(times.last()?),
        })
    }

    /// Closes all connections that are still open.
    pub(super) async fn close(&self) {
        let mut clients = std::mem::take(&mut *self.clients.lock());
        clients.shutdown().await;
        for member in &mut *self.members.lock() {
            member.socket = None;
        }
    }

    /// Finds the connections that the server has closed since the last call. Returns the number of the others.
    fn poll(&self) -> io::Result<usize> {
        let mut members = self.members.lock();
        let mut open: Vec<_> = members.iter_mut().filter(|member| member.closed.is_none()).collect();
        let (mut sockets, mut ends) = (Vec::new(), Vec::new());
        for Member { socket, closed, .. } in &mut open {
            if let Some(socket) = socket {
                // A reset is reported without being requested.
                sockets.push(PollFd::new(&*socket, PollFlags::RDHUP));
                ends.push(closed);
            }
        }
        poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let ended = sockets.iter().map(|socket| !socket.revents().is_empty());
        let mut left = 0;
        for (closed, ended) in ends.into_iter().zip(ended) {
            *closed = ended.then(now);
            left += usize::from(!ended);
        }
        Ok(left)
    }
}

/// A monitor of the connections and the server.
pub(super) struct Monitor<'a> {
    crowd: &'a Crowd,
    processes: &'a [i32],
    began: u64,
    before: Sample,
    /// The maximum of each resource, not necessarily at the same moment.
    peak: Sample,
    /// The maximum number of open connections.
    pub(super) held: usize,
    /// The time at which the server had closed the descriptors of all connections.
    released: Option<u64>,
}

impl<'a> Monitor<'a> {
    /// Starts before the first connection.
    pub(super) fn start(crowd: &'a Crowd, processes: &'a [i32]) -> ProcResult<Self> {
        let before = sample(processes)?;
        Ok(Self { crowd, processes, began: now(), before, peak: before, held: 0, released: None })
    }

    /// Measures the connections and the server. Returns whether no connection is left on either side.
    pub(super) fn poll(&mut self) -> Result<bool, Error> {
        let open = self.crowd.poll()?;
        self.held = self.held.max(open);
        let Sample { usage, descriptors } = self.sample()?;
        self.peak.usage.memory = self.peak.usage.memory.max(usage.memory);
        self.peak.descriptors = self.peak.descriptors.max(descriptors);
        if open > 0 || descriptors > self.before.descriptors + PROBE_DESCRIPTORS {
            self.released = None;
        } else if self.held > 0 && self.released.is_none() {
            self.released = Some(now());
        }
        Ok(self.released.is_some())
    }

    pub(super) fn sample(&self) -> ProcResult<Sample> {
        sample(self.processes)
    }

    /// Returns the time from the first opening until the server had closed all descriptors, in seconds.
    pub(super) fn released_after(&self) -> Option<f64> {
        let released = self.released?;
        Some(Duration::from_nanos(released.saturating_sub(self.began)).as_secs_f64())
    }

    /// Returns the server's usage while the connections were open and after the recovery.
    pub(super) fn taken(&self, held: Sample, after: Sample) -> ServerUsage {
        let mib = |sample: Sample| sample.usage.memory as f64 / 1024.0 / 1024.0;
        let more = self.peak.usage.memory.saturating_sub(self.before.usage.memory);
        let cpu = held.usage.cpu.saturating_sub(self.before.usage.cpu);
        let each = |sum: f64, connections: usize| sum / connections.max(1) as f64;
        ServerUsage {
            memory_of_a_connection: each(more as f64 / 1024.0, self.held),
            cpu_of_a_connection: each(cpu.as_secs_f64() * 1e6, self.crowd.opened()),
            memory: Phases { before: mib(self.before), peak: mib(self.peak), after: mib(after) },
            descriptors: Phases {
                before: self.before.descriptors,
                peak: self.peak.descriptors,
                after: after.descriptors,
            },
        }
    }
}

fn sample(processes: &[i32]) -> ProcResult<Sample> {
    Ok(Sample { usage: usage(processes)?, descriptors: descriptors(processes)? })
}
