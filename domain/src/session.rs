//! One stream's life: what is due when.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::{jitter::Jitter, keepalive::KeepalivePolicy};

/// When a stream was last written to, and when its life is over. It never asks for the time.
///
/// The end is the wall clock's, as that of its token is: it comes in time also when the machine has slept or its clock was set.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    written: Instant,
    /// In seconds since 1970; none when it does not come before 2106. Each stream has room for it.
    end: Option<NonZeroU32>,
    reason: SessionEnd,
}

/// Why a stream's life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The token that opened it expires.
    TokenExpired,
    /// It has reached the age at which streams are ended.
    MaxAge,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A sign of life.
    Keepalive,
    /// The end.
    End(SessionEnd),
}

/// The present time, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// On a clock that never goes back.
    pub instant: Instant,
    /// On the wall clock: the time since 1970.
    pub unix_time: Duration,
}

/// A token of which less is left is used to its end. A client that comes back with the same token is so sent away once before that, not in ever
/// shorter turns.
const MIN_JITTERED_TOKEN: Duration = Duration::from_mins(20);
/// The longest time that a stream ends before its token does.
const MAX_EARLIER: Duration = Duration::from_mins(10);

impl Session {
    /// A stream that is opened `now` with a token that is valid until `token_end`, the time since 1970, and that may grow `max_age` old. Lives
    /// that begin together do not end together: `jitter` takes up to 5 % off, of a token's ten minutes at most.
    #[must_use]
    pub fn new(now: Now, token_end: Duration, max_age: Option<Duration>, jitter: Jitter) -> Self {
        let left = token_end.saturating_sub(now.unix_time);
        let (time, reason) = match max_age {
            Some(age) if age < left => (jitter.shorten(age, Duration::MAX), SessionEnd::MaxAge),
            _ if left < MIN_JITTERED_TOKEN => (left, SessionEnd::TokenExpired),
            _ => (jitter.shorten(left, MAX_EARLIER), SessionEnd::TokenExpired),
        };
        let end = now.unix_time.saturating_add(time).as_secs();
        let end = u32::try_from(end).ok().map(|end| NonZeroU32::new(end).unwrap_or(NonZeroU32::MIN));
        Self { written: now.instant, end, reason }
    }

    /// Something was written at `now`.
    pub fn record_write(&mut self, now: Instant) {
        self.written = now;
    }

    /// When it was last written to, or opened.
    pub(crate) fn written(&self) -> Instant {
        self.written
    }

    /// For how long nothing was written at `now`.
    #[must_use]
    pub fn time_since_write(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.written)
    }

    /// How much of its life is left `unix_time`; none when it does not end.
    #[must_use]
    pub fn remaining(&self, unix_time: Duration) -> Option<Duration> {
        let end = Duration::from_secs(self.end?.get().into());
        Some(end.saturating_sub(unix_time))
    }

    /// What is due `now`; what it answers counts as done.
    pub fn due(&mut self, keepalive: Option<KeepalivePolicy>, now: Now) -> Option<Due> {
        if self.remaining(now.unix_time).is_some_and(|remaining| remaining.is_zero()) {
            return Some(Due::End(self.reason));
        }
        if keepalive.is_some_and(|policy| policy.is_due(self.written, now.instant)) {
            self.written = now.instant;
            return Some(Due::Keepalive);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn keepalive() -> Option<KeepalivePolicy> {
        KeepalivePolicy::every(s(30))
    }

    /// The time at which the tests begin, and a time after that on both clocks.
    struct Start(Instant);

    impl Start {
        fn now() -> Self {
            Self(Instant::now())
        }

        fn after(&self, seconds: u64) -> Now {
            Now { instant: self.0 + s(seconds), unix_time: wall(seconds) }
        }
    }

    /// The wall clock so long after the start.
    fn wall(seconds: u64) -> Duration {
        s(1_800_000_000 + seconds)
    }

    #[test]
    fn token_or_age_ends_a_stream() {
        let check = |token: u64, age: Option<u64>, ends: u64, reason: SessionEnd| {
            let start = Start::now();
            // Zero has the place zero: nothing is taken off.
            let mut session = Session::new(start.after(0), wall(token), age.map(s), Jitter::of(0));
            assert_eq!(session.due(None, start.after(ends - 1)), None);
            assert_eq!(session.due(None, start.after(ends)), Some(Due::End(reason)));
        };
        check(100, None, 100, SessionEnd::TokenExpired);
        check(100, Some(50), 50, SessionEnd::MaxAge);
        check(100, Some(200), 100, SessionEnd::TokenExpired);
    }

    #[test]
    fn session_ends_by_the_wall_clock() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), wall(7200), None, Jitter::of(0));
        let slept = Now { instant: start.0, unix_time: wall(7200) };
        assert_eq!(session.due(None, slept), Some(Due::End(SessionEnd::TokenExpired)));
        let set_back = Now { instant: start.0 + s(7200), unix_time: wall(0) };
        assert_eq!(session.due(None, set_back), None);
    }

    #[test]
    fn session_knows_its_silence_and_remaining_time() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), wall(100), None, Jitter::of(0));
        session.record_write(start.after(20).instant);
        assert_eq!(session.time_since_write(start.after(50).instant), s(30));
        assert_eq!(session.remaining(wall(50)), Some(s(50)));
        assert_eq!(session.remaining(wall(101)), Some(s(0)));
    }

    /// When each of a thousand streams ends that are opened together with tokens of so many seconds.
    fn ends(token: u64) -> Vec<u64> {
        let start = Start::now();
        let end = |n| {
            let session = Session::new(start.after(0), wall(token), None, Jitter::of(n));
            session.remaining(wall(0)).expect("an end").as_secs()
        };
        (0..1000).map(end).collect()
    }

    #[test]
    fn streams_of_simultaneous_tokens_end_apart() {
        for (token, earlier) in [(2000, 100), (24 * 3600, 600)] {
            let ends = ends(token);
            for tenth in 0..10 {
                let first = token - earlier + tenth * earlier / 10;
                let seconds = first..first + earlier / 10;
                let together = ends.iter().filter(|end| seconds.contains(end)).count();
                assert!((98..=102).contains(&together), "{together} of 1000 end in {seconds:?} of {token}");
            }
        }
    }

    #[test]
    fn short_remaining_token_time_has_no_jitter() {
        assert!(ends(600).iter().all(|end| *end == 600));
    }

    #[test]
    fn keepalive_is_due_once_per_interval() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), wall(1000), None, Jitter::of(0));
        assert_eq!(session.due(keepalive(), start.after(29)), None);
        assert_eq!(session.due(keepalive(), start.after(30)), Some(Due::Keepalive));
        assert_eq!(session.due(keepalive(), start.after(30)), None);
        session.record_write(start.after(50).instant);
        assert_eq!(session.due(keepalive(), start.after(70)), None);
        assert_eq!(session.due(keepalive(), start.after(80)), Some(Due::Keepalive));
        let end = Some(Due::End(SessionEnd::TokenExpired));
        assert_eq!(session.due(keepalive(), start.after(1000)), end, "not both");
    }

    #[test]
    fn token_without_expiry_never_ends() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), Duration::MAX, None, Jitter::of(0));
        assert_eq!(session.remaining(wall(0)), None);
        assert_eq!(session.due(None, start.after(1 << 40)), None);
    }

    #[test]
    fn expired_token_ends_at_once() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), Duration::ZERO, None, Jitter::of(0));
        assert_eq!(session.due(None, start.after(0)), Some(Due::End(SessionEnd::TokenExpired)));
    }
}
