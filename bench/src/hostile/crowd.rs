//! The open connections, and the server that has them, looked at again and again.

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
    report::{ClosedAfter, Course, Taken},
};
use crate::{
    ledger::now,
    process::{descriptors, usage},
    publisher::Error,
};

/// Descriptors of the server that the ordinary requests may take.
const PROBE_DESCRIPTORS: usize = 2;

/// All connections of a run.
#[derive(Default)]
pub(super) struct Crowd {
    members: Mutex<Vec<Member>>,
    clients: Mutex<JoinSet<()>>,
}

struct Member {
    /// A second descriptor of the client's socket, to see its end: the first one is with the client's task. None at the end of the run.
    socket: Option<OwnedFd>,
    opened: u64,
    /// When the server closed it.
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

    /// How many the server has closed.
    pub(super) fn closed(&self) -> usize {
        self.members.lock().iter().filter(|member| member.closed.is_some()).count()
    }

    /// How long the server has left those open that it has closed; none when it has closed none.
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

    /// Closes all that are still open.
    pub(super) async fn close(&self) {
        let mut clients = std::mem::take(&mut *self.clients.lock());
        clients.shutdown().await;
        for member in &mut *self.members.lock() {
            member.socket = None;
        }
    }

    /// Finds those that the server has closed since the last look. Returns how many it has not.
    fn look(&self) -> io::Result<usize> {
        let mut members = self.members.lock();
        let mut open: Vec<_> = members.iter_mut().filter(|member| member.closed.is_none()).collect();
        let (mut sockets, mut ends) = (Vec::new(), Vec::new());
        for Member { socket, closed, .. } in &mut open {
            if let Some(socket) = socket {
                // A reset is told without being asked for.
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

/// What is seen of a crowd and its server.
pub(super) struct Watch<'a> {
    crowd: &'a Crowd,
    processes: &'a [i32],
    began: u64,
    before: Sample,
    /// The most of each, not necessarily at the same moment.
    peak: Sample,
    /// Connections that were open at a time, at most.
    pub(super) held: usize,
    /// When the server had given back the descriptors of all connections.
    released: Option<u64>,
}

impl<'a> Watch<'a> {
    /// Begins before the first connection.
    pub(super) fn begin(crowd: &'a Crowd, processes: &'a [i32]) -> ProcResult<Self> {
        let before = sample(processes)?;
        Ok(Self { crowd, processes, began: now(), before, peak: before, held: 0, released: None })
    }

    /// Looks at the crowd and the server. Returns whether no connection is left on either side.
    pub(super) fn look(&mut self) -> Result<bool, Error> {
        let open = self.crowd.look()?;
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

    /// How long after the first opening the server had given back all descriptors, in seconds.
    pub(super) fn released_after(&self) -> Option<f64> {
        let released = self.released?;
        Some(Duration::from_nanos(released.saturating_sub(self.began)).as_secs_f64())
    }

    /// What the server has taken, up to the end of the crowd and once it has recovered.
    pub(super) fn taken(&self, held: Sample, after: Sample) -> Taken {
        let mib = |sample: Sample| sample.usage.memory as f64 / 1024.0 / 1024.0;
        let more = self.peak.usage.memory.saturating_sub(self.before.usage.memory);
        let cpu = held.usage.cpu.saturating_sub(self.before.usage.cpu);
        let each = |sum: f64, connections: usize| sum / connections.max(1) as f64;
        Taken {
            memory_of_a_connection: each(more as f64 / 1024.0, self.held),
            cpu_of_a_connection: each(cpu.as_secs_f64() * 1e6, self.crowd.opened()),
            memory: Course { before: mib(self.before), peak: mib(self.peak), after: mib(after) },
            descriptors: Course {
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
