//! Resources of processes by the kernel's accounting.

use std::time::Duration;

use procfs::{ProcResult, process::Process};

/// The CPU time since the start of a process, and its memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

/// Returns the usage of all these processes together.
pub(crate) fn usage(processes: &[i32]) -> ProcResult<Usage> {
    let mut sum = Usage::default();
    for process in processes {
        let stat = Process::new(*process)?.stat()?;
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        sum.cpu += Duration::from_secs_f64(ticks);
        sum.memory += stat.rss * procfs::page_size();
    }
    Ok(sum)
}

/// Returns the number of open file descriptors of all these processes together.
pub(crate) fn descriptors(processes: &[i32]) -> ProcResult<usize> {
    processes.iter().map(|process| Process::new(*process)?.fd_count()).sum()
}
