//! The report of slow clients and of the users beside them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;

use super::receipt::{Counts, End, Receipt};
use crate::{arguments::Arguments, report::Report};

/// The results of the users and of the slow clients.
#[derive(Serialize)]
pub(crate) struct SlowReport {
    /// The memory is measured at the last publication, when the backlog is largest.
    #[serde(flatten)]
    pub(super) users: Report,
    /// Events that the users have not received.
    pub(super) missing: u64,
    /// Gaps that were reported to the users.
    pub(super) gaps: u64,
    pub(super) slow: SlowClients,
}

/// The sums over all slow clients.
#[derive(Serialize)]
pub(super) struct SlowClients {
    clients: usize,
    /// The rate of each client, in bytes per second.
    read: u64,
    published: u64,
    #[serde(flatten)]
    counts: Counts,
    /// The number of disconnected clients by the kind of end.
    disconnected: BTreeMap<End, usize>,
}

impl SlowClients {
    pub(super) fn new(arguments: &Arguments, published: u64, receipts: &[Arc<Mutex<Receipt>>]) -> Self {
        let (mut counts, mut disconnected) = (Counts::default(), BTreeMap::new());
        for receipt in receipts {
            let receipt = receipt.lock();
            counts += receipt.counts;
            if let Some(end) = receipt.end {
                *disconnected.entry(end).or_default() += 1;
            }
        }
        Self { clients: receipts.len(), read: arguments.slow_read, published, counts, disconnected }
    }
}

impl SlowReport {
    /// Returns whether the users received everything once and in order, and slow clients no event twice, late, or after
    /// an unreported gap.
    pub(crate) fn is_complete(&self) -> bool {
        let Counts { out_of_order, duplicates, lost, .. } = self.slow.counts;
        self.users.is_complete() && self.gaps == 0 && out_of_order + duplicates + lost == 0
    }
}

impl fmt::Display for SlowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, missing, gaps, slow } = self;
        let SlowClients { clients, read, published, counts, disconnected } = slow;
        let Counts { received, out_of_order, duplicates, lost, gaps: slow_gaps } = counts;
        write!(f, "{users}")?;
        writeln!(f, "missing        {missing}, {gaps} gaps reported")?;
        if let Some(memory) = users.memory {
            writeln!(f, "memory         {memory:.1} MiB at the last publication")?;
        }
        writeln!(f, "slow clients   {clients}, each reads {read} bytes a second")?;
        writeln!(
            f,
            "  received     {received} of {published}, {out_of_order} late, {duplicates} duplicates"
        )?;
        writeln!(f, "  lost         {lost}, {slow_gaps} gaps reported")?;
        write!(f, "  disconnected {}", disconnected.values().sum::<usize>())?;
        for (end, clients) in disconnected {
            write!(f, ", {clients} {}", end.name())?;
        }
        writeln!(f)
    }
}
