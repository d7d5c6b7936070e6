//! The one place where the life of every connection is bounded, whatever its client says, half says or does not read.
//!
//! | the connection waits for | it is given |
//! | --- | --- |
//! | a complete request: from accepting on, TLS handshake and protocol detection included, and again behind each answer | `request_timeout`, and `write_timeout` more where some of that answer is left to take |
//! | the application, to answer | [`ANSWER_TIMEOUT`] |
//! | the client, to take more of an answer | `write_timeout` for every 64 KiB, or for anything at all of a stream (16 KiB with HTTP/2) |
//! | the application, to produce the next event | no limit |
//! | the client, to take the rest of an ended answer and to close | `write_timeout` in all |
//!
//! Beside that a request's body has a `request_timeout` of its own ([`service`](super::service)), and a client with HTTP/2 has to answer pings.
//!
//! A task drives each part of a connection's life through [`Deadlines::bound`]. The reactor, which has no task for each connection, keeps
//! the last three itself, with the same times.

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

/// Longer than any answer needs; the longest is a profile of a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// The deadlines of one connection, or of one stream of HTTP/2. There is one at a time, that of the present [`Phase`].
pub(super) struct Deadlines {
    activity: Arc<Activity>,
    request_timeout: Duration,
    write_timeout: Duration,
    phase: Option<Phase>,
    /// Boxed, because a silent event stream has none.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Why a part of a connection's life was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The deadline of this phase has passed.
    Phase(Phase),
    /// The connection was cut.
    Cut,
}

impl Deadlines {
    /// Begins with the deadline for a request.
    pub(super) fn new(activity: Arc<Activity>, limits: &ConnectionLimits) -> Self {
        let ConnectionLimits { request_timeout, write_timeout, .. } = *limits;
        Self { activity, request_timeout, write_timeout, phase: None, deadline: None }
    }

    /// What the deadlines depend on.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// From now on the client has the write timeout to take what is left and to close.
    pub(super) fn finish(&self) {
        self.activity.handle.finish();
    }

    /// Drives `part` of the connection's life. It can be called again for the same part.
    ///
    /// # Errors
    ///
    /// A deadline has passed or the connection was cut. If the client has not taken what was written, the connection is cut now.
    pub(super) async fn bound<T>(&mut self, part: impl Future<Output = T>) -> Result<T, Overdue> {
        let mut part = pin!(part);
        poll_fn(|context| {
            if let Poll::Ready(done) = part.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            self.activity.handle.register(context);
            self.poll_overdue(context).map(Err)
        })
        .await
    }

    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<Overdue> {
        if self.activity.handle.is_cut() {
            return Poll::Ready(Overdue::Cut);
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
        Poll::Ready(Overdue::Phase(phase))
    }

    fn timeout(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Request { .. } if self.activity.handle.is_blocked() => {
                Some(self.write_timeout + self.request_timeout)
            }
            Phase::Request { .. } => Some(self.request_timeout),
            Phase::Answer { .. } => Some(ANSWER_TIMEOUT),
            Phase::Write { .. } | Phase::End => Some(self.write_timeout),
            Phase::Body => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is asked")]
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

    /// Does `something` every second on a connection that never ends by itself; returns why it was given up, and when.
    async fn given_up(mut deadlines: Deadlines, mut something: impl FnMut(u64)) -> (Overdue, Duration) {
        let began = Instant::now();
        let goes_on = async {
            for second in 1.. {
                sleep(Duration::from_secs(1)).await;
                something(second);
            }
        };
        let overdue = deadlines.bound(goes_on).await.expect_err("it has no end");
        (overdue, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn one_deadline_holds_for_all_parts_up_to_the_request() {
        let (_, mut deadlines) = deadlines();
        let began = Instant::now();
        for part in [4, 5] {
            assert_eq!(deadlines.bound(sleep(Duration::from_secs(part))).await, Ok(()));
        }
        let overdue = deadlines.bound(pending::<()>()).await;
        assert_eq!(overdue, Err(Overdue::Phase(Phase::Request { begun: 0 })));
        assert_eq!(began.elapsed(), REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_renews_the_time_for_a_request() {
        let (activity, deadlines) = deadlines();
        let requests = Arc::clone(&activity);
        let (overdue, when) = given_up(deadlines, |second| {
            if second <= 60 {
                requests.begin().answered();
            }
        })
        .await;
        assert_eq!(overdue, Overdue::Phase(Phase::Request { begun: 60 }));
        assert_eq!(when, Duration::from_mins(1) + REQUEST);
        assert!(!activity.handle.is_cut(), "nothing is lost that would have to be discarded");
    }

    #[tokio::test(start_paused = true)]
    async fn having_the_server_write_gains_no_time() {
        let (activity, deadlines) = deadlines();
        let handle = activity.handle.clone();
        let (overdue, when) = given_up(deadlines, |second| {
            handle.add_written(100_000);
            handle.set_blocked(second % 2 == 0);
        })
        .await;
        assert_eq!((overdue, when), (Overdue::Phase(Phase::Request { begun: 0 }), REQUEST));
    }

    #[tokio::test(start_paused = true)]
    async fn rest_of_an_answer_has_time_of_its_own() {
        let (activity, deadlines) = deadlines();
        activity.begin().answered();
        activity.handle.set_blocked(true);
        let (_, when) = given_up(deadlines, |_| ()).await;
        assert_eq!(when, WRITE + REQUEST);
        assert!(activity.handle.is_overdue());
    }

    #[tokio::test(start_paused = true)]
    async fn application_has_its_time_and_a_silent_stream_all_of_it() {
        let (activity, deadlines) = deadlines();
        let exchange = activity.begin();
        let (overdue, when) = given_up(deadlines, |_| ()).await;
        assert_eq!((overdue, when), (Overdue::Phase(Phase::Answer { begun: 1 }), ANSWER_TIMEOUT));
        drop(exchange);

        let (activity, mut deadlines) = deadlines_of_a_stream();
        // hyper has dropped what it held of the request when it handed the connection off.
        activity.begin().answered();
        let day = Duration::from_hours(24);
        assert_eq!(deadlines.bound(sleep(day)).await, Ok(()));
    }

    fn deadlines_of_a_stream() -> (Arc<Activity>, Deadlines) {
        let (activity, deadlines) = deadlines();
        activity.stream();
        (activity, deadlines)
    }

    #[tokio::test(start_paused = true)]
    async fn ordinary_answer_has_to_be_taken_at_a_pace_and_a_stream_at_any() {
        let (activity, deadlines) = deadlines();
        let _exchange = activity.begin();
        activity.handle.set_blocked(true);
        let taken = activity.handle.clone();
        let paced = given_up(deadlines, |_| taken.add_written(4 * 1024));
        // 64 KiB in 16 s renew it again and again, …
        assert!(tokio::time::timeout(10 * WRITE, paced).await.is_err());
        let (activity, deadlines) = self::deadlines();
        let _exchange = activity.begin();
        activity.handle.set_blocked(true);
        let taken = activity.handle.clone();
        let (overdue, when) = given_up(deadlines, |_| taken.add_written(1)).await;
        // … and 1 B/s do not.
        assert_eq!((overdue, when), (Overdue::Phase(Phase::Write { progress: 0 }), WRITE));
        assert!(activity.handle.is_overdue());
    }

    #[tokio::test(start_paused = true)]
    async fn end_is_not_deferred_by_progress() {
        let (activity, deadlines) = deadlines_of_a_stream();
        let _exchange = activity.begin();
        activity.handle.set_blocked(true);
        let handle = activity.handle.clone();
        let (overdue, when) = given_up(deadlines, |second| {
            handle.add_written(100_000);
            if second == 100 {
                handle.finish();
            }
        })
        .await;
        assert_eq!((overdue, when), (Overdue::Phase(Phase::End), Duration::from_secs(100) + WRITE));
    }

    #[tokio::test(start_paused = true)]
    async fn cut_is_noticed_at_once() {
        let (activity, deadlines) = deadlines();
        let handle = activity.handle.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(3)).await;
            handle.cut();
        });
        let mut deadlines = deadlines;
        let began = Instant::now();
        assert_eq!(deadlines.bound(pending::<()>()).await, Err(Overdue::Cut));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        assert!(!activity.handle.is_overdue());
    }
}
