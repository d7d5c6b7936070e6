//! Which connections are let in, and how many.

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
    deadlines::Overdue,
};

/// Ordinary answers that can be in progress at a time. A further request is answered 503 at once, without a body that could wait.
const MAX_ANSWERS: usize = 4096;
/// When all connections are in use, this part of them is asked to make room.
const EVICTED_PART: usize = 16;
/// The list of connections without a request is looked through when it has grown by so much.
const LIST_SLACK: usize = 64;

/// The open connections of one server, and the answers in progress on them.
pub(super) struct Connections {
    open: AtomicUsize,
    limit: AtomicUsize,
    answers: AtomicUsize,
    metrics: Arc<dyn HttpMetrics>,
}

impl Connections {
    /// None is open, and up to `limit` may be.
    pub(super) fn new(limit: usize, metrics: Arc<dyn HttpMetrics>) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            limit: limit.into(),
            answers: AtomicUsize::new(0),
            metrics,
        })
    }

    /// Where what happens to connections is counted.
    pub(super) fn metrics(&self) -> &dyn HttpMetrics {
        &*self.metrics
    }

    /// Whether as many are open as may be.
    pub(super) fn are_all_in_use(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.limit()
    }

    /// How many may be open.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Lets at least `limit` be open.
    pub(super) fn raise_limit(&self, limit: usize) {
        self.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// One more is open, until the permit is dropped or handed over.
    pub(super) fn enter(self: &Arc<Self>) -> Permit {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.connection_accepted(open);
        Permit(Some(Arc::clone(self)))
    }

    /// One whose permit was handed over is closed.
    pub(super) fn leave(&self) {
        let open = self.open.fetch_sub(1, Ordering::Relaxed) - 1;
        self.metrics.connection_closed(open);
    }

    /// Counts a connection or a stream that has missed a deadline.
    pub(super) fn count(&self, overdue: Overdue) {
        match overdue {
            Overdue::Phase(Phase::Request { .. }) => self.metrics.request_timed_out(),
            Overdue::Phase(_) => self.metrics.write_timed_out(),
            Overdue::Cut => {}
        }
    }

    /// One more ordinary answer is in progress, until it is dropped; none when there are too many.
    pub(super) fn begin_answer(self: &Arc<Self>) -> Option<AnswerPermit> {
        let permit = AnswerPermit(Arc::clone(self));
        // Counted first: the permit takes it back where there are too many.
        let answers = self.answers.fetch_add(1, Ordering::Relaxed);
        (answers < MAX_ANSWERS).then_some(permit)
    }
}

/// An open connection.
pub(super) struct Permit(Option<Arc<Connections>>);

impl Permit {
    /// From now on whoever takes the connection over calls [`Connections::leave`]: a silent stream has no room for a permit.
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

/// An ordinary answer in progress.
pub(super) struct AnswerPermit(Arc<Connections>);

impl Drop for AnswerPermit {
    fn drop(&mut self) {
        self.0.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections that may wait for a request, their first or another one, the oldest first. When all are in use, these make room: a client
/// that connects and says nothing does not keep out those that ask.
#[derive(Default)]
pub(super) struct Newcomers {
    list: VecDeque<Weak<Activity>>,
    look_through_at: usize,
}

impl Newcomers {
    pub(super) fn add(&mut self, activity: &Arc<Activity>) {
        if self.list.len() >= self.look_through_at {
            self.list.retain(|activity| activity.strong_count() > 0);
            self.look_through_at = 2 * self.list.len() + LIST_SLACK;
        }
        self.list.push_back(Arc::downgrade(activity));
    }

    /// Cuts the oldest of those without a request, up to a part of `limit`; how many that were.
    pub(super) fn evict(&mut self, limit: usize) -> usize {
        let mut evicted = 0;
        let most = limit.div_ceil(EVICTED_PART);
        // Those that are busy now may be idle later, and keep their place.
        self.list.retain(|activity| {
            let Some(activity) = activity.upgrade() else { return false };
            let evicts = evicted < most && activity.is_idle();
            if evicts {
                activity.handle.cut();
                evicted += 1;
            }
            !evicts
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
        assert!(connections.are_all_in_use());
        connections.raise_limit(3);
        assert!(!connections.are_all_in_use());
        connections.raise_limit(1);
        assert!(!connections.are_all_in_use());
        let _one_more = connections.enter();
        assert!(connections.are_all_in_use());
    }

    #[test]
    fn oldest_connections_without_a_request_make_room() {
        let mut newcomers = Newcomers::default();
        let open: Vec<_> = (0..100).map(|_| Arc::<Activity>::default()).collect();
        let _exchange = open[0].begin();
        open[2].stream();
        for activity in &open {
            newcomers.add(activity);
        }
        assert_eq!(newcomers.evict(32), 2);
        let cut: Vec<_> = (0..100).filter(|at| open[*at].handle.is_cut()).collect();
        assert_eq!(cut, [1, 3]);
        assert_eq!(newcomers.evict(32), 2);
        let cut: Vec<_> = (0..100).filter(|at| open[*at].handle.is_cut()).collect();
        assert_eq!(cut, [1, 3, 4, 5]);
    }

    #[test]
    fn closed_connections_are_forgotten() {
        let mut newcomers = Newcomers::default();
        for _ in 0..100_000 {
            newcomers.add(&Arc::default());
        }
        assert!(newcomers.list.len() <= 2 * LIST_SLACK);
    }
}
