//! The drain: how streams end when the service stops, and when their clients return.
//!
//! Opening a stream costs the platform far more than it costs this service, because the platform authenticates each request. The drain rate
//! bounds what a stop asks of the platform.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// The part of the drain timeout in which streams are ended. The rest is for writing out their last events.
const ENDING_SHARE: f64 = 0.8;
/// Maximum time that a client waits for its slot to return, whatever the history.
const MAX_WAIT: Duration = Duration::from_mins(30);

/// Returns the part of the drain `timeout` in which streams are ended.
#[must_use]
pub fn ending_time(timeout: Duration) -> Duration {
    timeout.mul_f64(ENDING_SHARE)
}

/// Returns the least drain timeout, in whole seconds, that has the time `ending` for ending streams.
#[must_use]
pub fn timeout_for(ending: Duration) -> Duration {
    let timeout = ending.div_f64(ENDING_SHARE);
    Duration::from_secs(timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0))
}

/// The pace at which streams end when the service stops, and at which their clients are asked to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainRate(NonZeroU32);

impl DrainRate {
    /// Returns the rate of this many streams a second.
    #[must_use]
    pub fn per_second(streams: NonZeroU32) -> Self {
        Self(streams)
    }

    /// Returns the number of streams a second.
    #[must_use]
    pub fn streams_per_second(self) -> u32 {
        self.0.get()
    }

    /// Returns the time that `streams` streams take at this rate.
    #[must_use]
    pub fn time_for(self, streams: u32) -> Duration {
        Duration::from_secs(streams.into()) / self.0.get()
    }
}

/// When each stream ends: at the drain rate if the time suffices, else evenly over the time, and so faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSchedule {
    /// Time from the end of one stream to the end of the next.
    interval: Duration,
    /// The time that all streams take.
    duration: Duration,
    /// The time that all streams take at the drain rate. None without a rate.
    needed: Option<Duration>,
}

impl DrainSchedule {
    /// Creates the schedule for `streams` streams, all of which end within `limit`. Without a rate they are distributed over all of it.
    #[must_use]
    pub fn new(streams: u32, limit: Duration, rate: Option<DrainRate>) -> Self {
        let needed = rate.map(|rate| rate.time_for(streams));
        let duration = needed.map_or(limit, |needed| needed.min(limit));
        Self { interval: duration / streams.max(1), duration, needed }
    }

    /// Returns when a stream ends, as the time since the start. The number of streams that have ended before it is `number`.
    #[must_use]
    pub fn due(&self, number: u32) -> Duration {
        self.interval * number
    }

    /// Returns the time that all streams take.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns the time that all streams need at the drain rate, if there is less.
    #[must_use]
    pub fn needed_duration(&self) -> Option<Duration> {
        self.needed.filter(|needed| *needed > self.duration)
    }
}

/// The slots in which clients return, one after the other at the drain rate.
///
/// Clients that get a slot as slowly as the rate says do not wait. Of clients that get one faster, each waits for those before it. So no more
/// clients return than the rate says, whether their streams were ended or their requests were rejected.
#[derive(Debug)]
pub struct ReturnQueue {
    max_wait: Duration,
    /// The first free slot. None before the first client.
    next: Option<Instant>,
}

impl ReturnQueue {
    /// Creates the queue. `history` is the maximum age of the log, or zero without a history.
    ///
    /// A client waits for half of that time at most. Its last event id may be a quarter of that time old (the position refresh), and it may
    /// lengthen the wait by half. Later it would get a gap, after which it asks the platform for more than a stream.
    #[must_use]
    pub fn new(history: Duration) -> Self {
        let max_wait = if history.is_zero() { MAX_WAIT } else { MAX_WAIT.min(history / 2) };
        Self { max_wait, next: None }
    }

    /// Gives the next slot to a client. Returns how long it waits for the slot. When all slots within the maximum wait are taken, the next
    /// clients share them, so that a very large crowd returns faster than the rate says, but still evenly.
    pub fn next_wait(&mut self, rate: DrainRate, now: Instant) -> Duration {
        let wait = self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        let wait = if wait > self.max_wait { Duration::ZERO } else { wait };
        self.next = Some(now + wait + rate.time_for(1));
        wait
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(streams: u32) -> DrainRate {
        DrainRate::per_second(NonZeroU32::new(streams).expect("more than zero"))
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rate_decides_if_the_time_suffices() {
        let schedule = DrainSchedule::new(10_000, s(600), Some(rate(20)));
        assert_eq!([0, 1, 20, 9_999].map(|number| schedule.due(number).as_millis()), [0, 50, 1_000, 499_950]);
        assert_eq!((schedule.duration(), schedule.needed_duration()), (s(500), None));
    }

    #[test]
    fn limit_decides_if_the_time_does_not_suffice() {
        let schedule = DrainSchedule::new(10_000, s(8), Some(rate(20)));
        assert_eq!([0, 1_250, 5_000].map(|number| schedule.due(number)), [s(0), s(1), s(4)]);
        assert_eq!((schedule.duration(), schedule.needed_duration()), (s(8), Some(s(500))));
    }

    #[test]
    fn streams_are_distributed_over_the_limit_without_a_rate() {
        let schedule = DrainSchedule::new(4, s(8), None);
        assert_eq!([0, 1, 3].map(|number| schedule.due(number)), [s(0), s(2), s(6)]);
        assert_eq!((schedule.duration(), schedule.needed_duration()), (s(8), None));
    }

    #[test]
    fn no_stream_takes_no_time() {
        let schedule = DrainSchedule::new(0, s(8), Some(rate(20)));
        assert_eq!((schedule.due(0), schedule.duration()), (s(0), s(0)));
    }

    #[test]
    fn returns_are_a_slot_apart() {
        let (mut queue, start) = (ReturnQueue::new(s(600)), Instant::now());
        let mut wait = |after: Duration| queue.next_wait(rate(2), start + after).as_millis();
        assert_eq!([wait(s(0)), wait(s(0)), wait(s(0))], [0, 500, 1_000]);
        // The slots after 1.5 s are free.
        assert_eq!(wait(s(1)), 500);
        assert_eq!([wait(s(60)), wait(s(60))], [0, 500]);
    }

    /// A crowd of more clients than have a slot within the longest wait.
    #[test]
    fn large_crowd_shares_slots_evenly() {
        let (mut queue, start) = (ReturnQueue::new(s(600)), Instant::now());
        let waits: Vec<_> = (0..1_000).map(|_| queue.next_wait(rate(1), start)).collect();
        for minute in 0..5 {
            let share = waits.iter().filter(|wait| wait.as_secs() / 60 == minute).count();
            assert!((180..=240).contains(&share), "{share} clients return in minute {minute}");
        }
        assert_eq!(waits.iter().max(), Some(&s(300)));
    }

    #[test]
    fn history_limits_the_wait() {
        let longest = |history| {
            let (mut queue, start) = (ReturnQueue::new(history), Instant::now());
            (0..10_000).map(|_| queue.next_wait(rate(1), start)).max()
        };
        assert_eq!(longest(s(300)), Some(s(150)));
        assert_eq!([longest(Duration::ZERO), longest(s(100_000))], [Some(s(1_800)); 2]);
    }

    proptest! {
        /// No more streams end within any time than the rate allows, and one more. One nanosecond a stream is for rounding.
        #[test]
        fn pace_is_never_faster_than_the_rate(
            streams in 1..50_000_u32,
            per_second in 1..2_000_u32,
            spare in 0..1_000_u64,
            from in any::<prop::sample::Index>(),
            until in any::<prop::sample::Index>(),
        ) {
            let rate = rate(per_second);
            let schedule = DrainSchedule::new(streams, rate.time_for(streams) + s(spare), Some(rate));
            let index = |index: prop::sample::Index| u32::try_from(index.index(streams as usize)).expect("small");
            let (from, until) = (index(from).min(index(until)), index(from).max(index(until)));
            let rounding = Duration::from_nanos((until - from).into());
            prop_assert!(schedule.due(until) + rounding >= schedule.due(from) + rate.time_for(until - from));
        }

        #[test]
        fn all_streams_end_within_the_limit(
            streams in 1..50_000_u32,
            milliseconds in 0..1_000_000_u64,
            per_second in prop::option::of(1..2_000_u32),
        ) {
            let limit = Duration::from_millis(milliseconds);
            let schedule = DrainSchedule::new(streams, limit, per_second.map(rate));
            prop_assert!(schedule.due(streams - 1) <= schedule.duration() && schedule.duration() <= limit);
        }

        /// The timeout that the log names is enough, and a second less is not.
        #[test]
        fn named_timeout_is_the_least_that_suffices(streams in 1..50_000_u32, per_second in 1..2_000_u32) {
            let ending = rate(per_second).time_for(streams);
            let timeout = timeout_for(ending);
            prop_assert!(ending_time(timeout) >= ending);
            prop_assert!(ending_time(timeout) < ending + ending_time(s(1)));
        }

        /// However clients come, no more of them return within any time than the rate allows, and one more.
        #[test]
        fn clients_return_no_faster_than_the_rate(
            per_second in 1..100_u32,
            pauses in prop::collection::vec(0..200_u64, 1..300),
        ) {
            let (mut queue, start, rate) = (ReturnQueue::new(s(600)), Instant::now(), rate(per_second));
            let mut time = Duration::ZERO;
            let mut returns = Vec::new();
            for pause in pauses {
                time += Duration::from_millis(pause);
                returns.push(time + queue.next_wait(rate, start + time));
            }
            for two in returns.windows(2) {
                prop_assert!(two[1] >= two[0] + rate.time_for(1), "{two:?}");
            }
        }
    }
}
