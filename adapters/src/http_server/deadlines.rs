//! The deadlines of every connection. No other module bounds how long a connection lives.
//!
//! | the connection waits for | timeout |
//! | --- | --- |
//! | a complete request: from the accept on, TLS handshake and protocol detection included, and again after each response | `request_timeout`, plus `write_timeout` while some of the last response is unread |
//! | the application, to respond | [`RESPONSE_TIMEOUT`] |
//! | the client, to take more of a body | `write_timeout` for each 64 KiB, or for any progress of an event stream (16 KiB with HTTP/2) |
//! | the application, to produce the next event | no limit |
//! | the client, to take the rest of an ended response and to close | `write_timeout` in total |
//!
//! In addition, the body of a request has its own `request_timeout` ([`service`](super::service)), and an HTTP/2 client has to answer
//! pings.
//!
//! A task runs each part of a connection's work through [`Deadlines::run`]. The reactor has no task for each connection and implements the
//! last three rows itself, with the same timeouts.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{
    ConnectionLimits,
    activity::{Activity, Phase},
};

/// Timeout for the application to respond. It is longer than any response needs; the longest is a profile of one minute.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);

/// The deadlines of one connection, or of one HTTP/2 stream. Only the deadline of the current [`Phase`] is armed.
pub(super) struct Deadlines {
    activity: Arc<Activity>,
    request_timeout: Duration,
    write_timeout: Duration,
    phase: Option<Phase>,
    /// Boxed, because an idle event stream has none.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The reason why [`Deadlines::run`] has stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aborted {
    /// The deadline of this phase has passed.
    TimedOut(Phase),
    /// The connection was cut.
    Cut,
}

impl Deadlines {
    /// Starts with the deadline of a request.
    pub(super) fn new(activity: Arc<Activity>, limits: &ConnectionLimits) -> Self {
        let ConnectionLimits { request_timeout, write_timeout, .. } = *limits;
        Self { activity, request_timeout, write_timeout, phase: None, deadline: None }
    }

    /// Returns the activity on which the deadlines depend.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Starts the end: from now on the client has the write timeout to take the remaining bytes and to close.
    pub(super) fn finish(&self) {
        self.activity.handle.finish();
    }

    /// Runs `part` of the connection's work within the deadlines. It can be called again with the same future.
    ///
    /// # Errors
    ///
    /// A deadline has passed or the connection was cut. If the client has not taken the written bytes, this call cuts the connection.
    pub(super) async fn run<T>(&mut self, part: impl Future<Output = T>) -> Result<T, Aborted> {
        let mut part = pin!(part);
        poll_fn(|context| self.poll(part.as_mut(), context)).await
    }

    /// Polls `part` as [`Deadlines::run`] does.
    pub(super) fn poll<T>(
        &mut self,
        part: Pin<&mut impl Future<Output = T>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, Aborted>> {
        if let Poll::Ready(done) = part.poll(context) {
            return Poll::Ready(Ok(done));
        }
        self.activity.handle.register(context);
        self.poll_aborted(context).map(Err)
    }

    fn poll_aborted(&mut self, context: &mut Context<'_>) -> Poll<Aborted> {
        if self.activity.handle.is_cut() {
            return Poll::Ready(Aborted::Cut);
        }
        let phase = self.activity.phase();
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            self.deadline = self.timeout(phase).map(|timeout| Box::pin(sleep(timeout)));
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(context));
        self.phase = None;
        if !matches!(phase, Phase::Request { .. }) || self.activity.handle.is_blocked() {
            self.activity.handle.time_out();
        }
        Poll::Ready(Aborted::TimedOut(phase))
    }

    fn timeout(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Request { .. } if self.activity.handle.is_blocked() => {
                Some(self.write_timeout + self.request_timeout)
            }
            Phase::Request { .. } => Some(self.request_timeout),
            Phase::Response { .. } => Some(RESPONSE_TIMEOUT),
            Phase::Write { .. } | Phase::Close => Some(self.write_timeout),
            Phase::Body => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "reads the runtime's paused clock")]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    const REQUEST: Duration = Duration::from_secs(10);
    const WRITE: Duration = Duration::from_secs(30);

    fn deadlines() -> (Arc<Activity>, Deadlines) {
        let activity = Arc::<Activity>::default();
        let limits = ConnectionLimits {
            connections: 1,
            request_timeout: REQUEST,
            write_timeout: WRITE,
            send_buffer: 0,
            user_timeout: Duration::ZERO,
        };
        (Arc::clone(&activity), Deadlines::new(activity, &limits))
    }

    /// Calls `action` every second on a connection that never ends by itself, until it is aborted. Returns the reason and the elapsed time.
    async fn run_until_aborted(mut deadlines: Deadlines, mut action: impl FnMut(u64)) -> (Aborted, Duration) {
        let start = Instant::now();
        let endless = async {
            for second in 1.. {
                sleep(Duration::from_secs(1)).await;
                action(second);
            }
        };
        let aborted = deadlines.run(endless).await.expect_err("it has no end");
        (aborted, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn all_parts_up_to_the_request_share_one_deadline() {
        let (_, mut deadlines) = deadlines();
        let start = Instant::now();
        for part in [4, 5] {
            assert_eq!(deadlines.run(sleep(Duration::from_secs(part))).await, Ok(()));
        }
        let aborted = deadlines.run(pending::<()>()).await;
        assert_eq!(aborted, Err(Aborted::TimedOut(Phase::Request { started: 0 })));
        assert_eq!(start.elapsed(), REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_renews_the_request_deadline() {
        let (activity, deadlines) = deadlines();
        let requests = Arc::clone(&activity);
        let (aborted, when) = run_until_aborted(deadlines, |second| {
            if second <= 60 {
                requests.start_exchange().mark_answered();
            }
        })
        .await;
        assert_eq!(aborted, Aborted::TimedOut(Phase::Request { started: 60 }));
        assert_eq!(when, Duration::from_mins(1) + REQUEST);
        assert!(!activity.handle.is_cut(), "no unread bytes, so no reset");
    }

    #[tokio::test(start_paused = true)]
    async fn writes_do_not_extend_the_request_deadline() {
        let (activity, deadlines) = deadlines();
        let handle = activity.handle.clone();
        let (aborted, when) = run_until_aborted(deadlines, |second| {
            handle.add_written(100_000);
            handle.set_blocked(second % 2 == 0);
        })
        .await;
        assert_eq!((aborted, when), (Aborted::TimedOut(Phase::Request { started: 0 }), REQUEST));
    }

    #[tokio::test(start_paused = true)]
    async fn unread_response_extends_the_request_deadline() {
        let (activity, deadlines) = deadlines();
        activity.start_exchange().mark_answered();
        activity.handle.set_blocked(true);
        let (_, when) = run_until_aborted(deadlines, |_| ()).await;
        assert_eq!(when, WRITE + REQUEST);
        assert!(activity.handle.has_timed_out());
    }

    #[tokio::test(start_paused = true)]
    async fn only_idle_streams_have_no_deadline() {
        let (activity, deadlines) = deadlines();
        let exchange = activity.start_exchange();
        let (aborted, when) = run_until_aborted(deadlines, |_| ()).await;
        assert_eq!((aborted, when), (Aborted::TimedOut(Phase::Response { started: 1 }), RESPONSE_TIMEOUT));
        drop(exchange);

        let (activity, mut deadlines) = deadlines_of_a_stream();
        // At the handoff hyper has dropped the exchange.
        activity.start_exchange().mark_answered();
        let day = Duration::from_hours(24);
        assert_eq!(deadlines.run(sleep(day)).await, Ok(()));
    }

    fn deadlines_of_a_stream() -> (Arc<Activity>, Deadlines) {
        let (activity, deadlines) = deadlines();
        activity.mark_as_stream();
        (activity, deadlines)
    }

    #[tokio::test(start_paused = true)]
    async fn ordinary_response_has_a_minimum_rate() {
        let (activity, deadlines) = deadlines();
        let _exchange = activity.start_exchange();
        activity.handle.set_blocked(true);
        let taken = activity.handle.clone();
        let paced = run_until_aborted(deadlines, |_| taken.add_written(4 * 1024));
        // 64 KiB in 16 s extend the deadline each time, …
        assert!(tokio::time::timeout(10 * WRITE, paced).await.is_err());
        let (activity, deadlines) = self::deadlines();
        let _exchange = activity.start_exchange();
        activity.handle.set_blocked(true);
        let taken = activity.handle.clone();
        let (aborted, when) = run_until_aborted(deadlines, |_| taken.add_written(1)).await;
        // … and 1 B/s do not.
        assert_eq!((aborted, when), (Aborted::TimedOut(Phase::Write { progress: 0 }), WRITE));
        assert!(activity.handle.has_timed_out());
    }

    #[tokio::test(start_paused = true)]
    async fn close_deadline_ignores_progress() {
        let (activity, deadlines) = deadlines_of_a_stream();
        let _exchange = activity.start_exchange();
        activity.handle.set_blocked(true);
        let handle = activity.handle.clone();
        let (aborted, when) = run_until_aborted(deadlines, |second| {
            handle.add_written(100_000);
            if second == 100 {
                handle.finish();
            }
        })
        .await;
        assert_eq!((aborted, when), (Aborted::TimedOut(Phase::Close), Duration::from_secs(100) + WRITE));
    }

    #[tokio::test(start_paused = true)]
    async fn cut_aborts_at_once() {
        let (activity, deadlines) = deadlines();
        let handle = activity.handle.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(3)).await;
            handle.cut();
        });
        let mut deadlines = deadlines;
        let start = Instant::now();
        assert_eq!(deadlines.run(pending::<()>()).await, Err(Aborted::Cut));
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(!activity.handle.has_timed_out());
    }
}
