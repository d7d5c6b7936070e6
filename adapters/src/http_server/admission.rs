//! The limits of open connections and of responses in progress, and the eviction of idle connections.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use ports::outbound::HttpMetrics;

use super::{
    activity::{Activity, Phase},
    deadlines::Aborted,
};

/// Maximum number of ordinary responses in progress. Further requests get a 503 at once, without a body that could wait for its client.
const MAX_RESPONSES: usize = 4096;
/// When the limit of connections is reached, the limit divided by this is the maximum number of connections evicted at a time.
const EVICTION_DIVISOR: usize = 16;
/// The eviction queue is pruned when it has doubled and grown by this number of entries.
const PRUNE_SLACK: usize = 64;

/// The counts of one server's open connections and of the responses in progress on them.
pub(super) struct Connections {
    open: AtomicUsize,
    limit: AtomicUsize,
    responses: AtomicUsize,
    metrics: Arc<dyn HttpMetrics>,
}

impl Connections {
    /// Creates counts for a server with up to `limit` open connections.
    pub(super) fn new(limit: usize, metrics: Arc<dyn HttpMetrics>) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            limit: limit.into(),
            responses: AtomicUsize::new(0),
            metrics,
        })
    }

    /// Returns the metrics of the connections.
    pub(super) fn metrics(&self) -> &dyn HttpMetrics {
        &*self.metrics
    }

    /// Whether the limit is reached.
    pub(super) fn is_limit_reached(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.limit()
    }

    /// Returns the maximum number of open connections.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Returns how many more connections there may be.
    pub(super) fn room(&self) -> usize {
        self.limit().saturating_sub(self.open.load(Ordering::Relaxed))
    }

    /// Raises the limit to `limit`, unless it is higher already.
    pub(super) fn raise_limit(&self, limit: usize) {
        self.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// Counts a new connection, until the permit is dropped or handed over.
    pub(super) fn enter(self: &Arc<Self>) -> Permit {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.connection_accepted(open);
        Permit(Some(Arc::clone(self)))
    }

    /// Counts the end of a connection whose permit was handed over.
    pub(super) fn leave(&self) {
        let open = self.open.fetch_sub(1, Ordering::Relaxed) - 1;
        self.metrics.connection_closed(open);
    }

    /// Counts the missed deadline of a connection or an HTTP/2 stream. A cut is not counted here.
    pub(super) fn record_abort(&self, aborted: Aborted) {
        match aborted {
            Aborted::TimedOut(Phase::Request { .. }) => self.metrics.request_timed_out(),
            Aborted::TimedOut(_) => self.metrics.write_timed_out(),
            Aborted::Cut => {}
        }
    }

    /// Counts an ordinary response until the permit is dropped; returns `None` when the limit is reached.
    pub(super) fn start_response(self: &Arc<Self>) -> Option<ResponsePermit> {
        let permit = ResponsePermit(Arc::clone(self));
        // The response is counted first; dropping the permit undoes that when the limit is reached.
        let responses = self.responses.fetch_add(1, Ordering::Relaxed);
        (responses < MAX_RESPONSES).then_some(permit)
    }
}

/// A guard that counts an open connection.
pub(super) struct Permit(Option<Arc<Connections>>);

impl Permit {
    /// Gives up the guard. The new owner of the connection calls [`Connections::leave`] instead, because the reactor has no room for a
    /// permit in each entry.
    pub(super) fn hand_over(mut self) {
        self.0 = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(connections) = self.0.take() {
            connections.leave();
        }
    }
}

/// A guard that counts an ordinary response in progress.
pub(super) struct ResponsePermit(Arc<Connections>);

impl Drop for ResponsePermit {
    fn drop(&mut self) {
        self.0.responses.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections that can be evicted while they wait for a request, oldest first. So clients that connect and send nothing do not keep
/// out others when the limit of connections is reached.
#[derive(Default)]
pub(super) struct EvictionQueue {
    connections: VecDeque<Weak<Activity>>,
    /// The length at which closed connections are removed.
    prune_at: usize,
}

impl EvictionQueue {
    /// Adds a connection.
    pub(super) fn add(&mut self, activity: &Arc<Activity>) {
        if self.connections.len() >= self.prune_at {
            self.connections.retain(|activity| activity.strong_count() > 0);
            self.prune_at = 2 * self.connections.len() + PRUNE_SLACK;
        }
        self.connections.push_back(Arc::downgrade(activity));
    }

    /// Cuts the oldest connections without a request, up to a fraction of `limit`, and returns how many it has cut.
    pub(super) fn evict(&mut self, limit: usize) -> usize {
        let mut evicted = 0;
        let max_evicted = limit.div_ceil(EVICTION_DIVISOR);
        // A connection that is busy now may be idle later, so it stays in the queue.
        self.connections.retain(|activity| {
            let Some(activity) = activity.upgrade() else { return false };
            let is_evicted = evicted < max_evicted && activity.is_idle();
            if is_evicted {
                activity.handle.cut();
                evicted += 1;
            }
            !is_evicted
        });
        evicted
    }
}

#[cfg(test)]
mod tests {
    use ports::outbound::MockHttpMetrics;

    use super::*;

    #[test]
    fn limit_of_connections_is_raised_and_never_lowered() {
        let mut metrics = MockHttpMetrics::new();
        metrics.expect_connection_accepted().return_const(());
        metrics.expect_connection_closed().return_const(());
        let connections = Connections::new(2, Arc::new(metrics));
        let _open = [connections.enter(), connections.enter()];
        assert!(connections.is_limit_reached());
        connections.raise_limit(3);
        assert!(!connections.is_limit_reached());
        connections.raise_limit(1);
        assert!(!connections.is_limit_reached());
        let _one_more = connections.enter();
        assert!(connections.is_limit_reached());
    }

    #[test]
    fn oldest_connections_without_a_request_are_evicted() {
        let mut queue = EvictionQueue::default();
        let open: Vec<_> = (0..100).map(|_| Arc::<Activity>::default()).collect();
        let _exchange = open[0].start_exchange();
        open[2].mark_as_stream();
        for activity in &open {
            queue.add(activity);
        }
        assert_eq!(queue.evict(32), 2);
        let cut: Vec<_> = (0..100).filter(|at| open[*at].handle.is_cut()).collect();
        assert_eq!(cut, [1, 3]);
        assert_eq!(queue.evict(32), 2);
        let cut: Vec<_> = (0..100).filter(|at| open[*at].handle.is_cut()).collect();
        assert_eq!(cut, [1, 3, 4, 5]);
    }

    #[test]
    fn closed_connections_are_forgotten() {
        let mut queue = EvictionQueue::default();
        for _ in 0..100_000 {
            queue.add(&Arc::default());
        }
        assert!(queue.connections.len() <= 2 * PRUNE_SLACK);
    }
}
