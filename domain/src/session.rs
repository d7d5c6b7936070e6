//! The timers of a stream.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::{jitter::Jitter, keepalive::KeepalivePolicy};

/// The timers of a stream: when it was last written to, and when it ends.
///
/// The end is a time of the wall clock, like the expiry of a token. So a stream also ends in time if the machine was suspended or its clock
/// was set.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    last_write: Instant,
    /// The end, in seconds since 1970. None if it is after 2106. Four bytes, because each open stream has one.
    end: Option<NonZeroU32>,
    reason: SessionEnd,
}

/// A session as another process continues it, on its own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// For how long nothing was written.
    pub silence: Duration,
    /// The end as the time since 1970. None if the session does not end.
    pub end: Option<Duration>,
    /// Why the session ends.
    pub reason: SessionEnd,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The token that opened the stream expires.
    TokenExpired,
    /// The stream has reached the maximum age.
    MaxAge,
}

/// An action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A keepalive comment has to be written.
    Keepalive,
    /// The stream has to be ended.
    End(SessionEnd),
}

/// The current time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time on the monotonic clock.
    pub instant: Instant,
    /// The time on the wall clock, since 1970.
    pub unix_time: Duration,
}

/// A token that is valid for less than this is used until it expires. Otherwise a client that reconnects with the same token would be
/// disconnected again and again, each time a little earlier.
const MIN_JITTERED_TOKEN: Duration = Duration::from_mins(20);
/// The maximum time by which a stream ends before its token expires.
const MAX_TOKEN_SHORTENING: Duration = Duration::from_mins(10);

impl Session {
    /// Creates the session of a stream that is opened at `now`. It ends when the token expires at `expires_at`, the time since 1970, or at
    /// `max_age`.
    ///
    /// `jitter` shortens the session by up to 5 %, and before the expiry of a token by up to ten minutes, so that sessions that start
    /// together do not end together.
    #[must_use]
    pub fn new(now: Now, expires_at: Duration, max_age: Option<Duration>, jitter: Jitter) -> Self {
        let left = expires_at.saturating_sub(now.unix_time);
        let (time, reason) = match max_age {
            Some(age) if age < left => (jitter.shorten(age, Duration::MAX), SessionEnd::MaxAge),
            _ if left < MIN_JITTERED_TOKEN => (left, SessionEnd::TokenExpired),
            _ => (jitter.shorten(left, MAX_TOKEN_SHORTENING), SessionEnd::TokenExpired),
        };
        Self { last_write: now.instant, end: seconds(now.unix_time.saturating_add(time)), reason }
    }

    /// Continues at `now` the session of another process.
    #[must_use]
    pub fn from_state(SessionState { silence, end, reason }: SessionState, now: Instant) -> Self {
        Self { last_write: now.checked_sub(silence).unwrap_or(now), end: end.and_then(seconds), reason }
    }

    /// Returns the session as another process continues it.
    #[must_use]
    pub fn state(&self, now: Instant) -> SessionState {
        let end = self.end.map(|end| Duration::from_secs(end.get().into()));
        SessionState { silence: self.time_since_write(now), end, reason: self.reason }
    }

    /// Records that the stream was written to at `now`.
    pub fn record_write(&mut self, now: Instant) {
        self.last_write = now;
    }

    /// Returns when the stream was last written to, or opened.
    pub(crate) fn last_write(&self) -> Instant {
        self.last_write
    }

    /// Returns for how long nothing was written at `now`.
    #[must_use]
    pub fn time_since_write(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_write)
    }

    /// Returns the time left at `unix_time`. None if the session does not end.
    #[must_use]
    pub fn remaining(&self, unix_time: Duration) -> Option<Duration> {
        let end = Duration::from_secs(self.end?.get().into());
        Some(end.saturating_sub(unix_time))
    }

    /// Returns what is due at `now`. A keepalive counts as written.
    pub fn due(&mut self, keepalive: Option<KeepalivePolicy>, now: Now) -> Option<Due> {
        if self.remaining(now.unix_time).is_some_and(|remaining| remaining.is_zero()) {
            return Some(Due::End(self.reason));
        }
        if keepalive.is_some_and(|policy| policy.is_due(self.last_write, now.instant)) {
            self.last_write = now.instant;
            return Some(Due::Keepalive);
        }
        None
    }
}

/// Returns a time since 1970 in whole seconds. None if it is after 2106.
fn seconds(time: Duration) -> Option<NonZeroU32> {
    let seconds = u32::try_from(time.as_secs()).ok()?;
    Some(NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN))
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

    /// The start of a test on the monotonic clock.
    struct Start(Instant);

    impl Start {
        fn now() -> Self {
            Self(Instant::now())
        }

        fn after(&self, seconds: u64) -> Now {
            Now { instant: self.0 + s(seconds), unix_time: wall(seconds) }
        }
    }

    /// Returns the wall clock this many seconds after the start.
    fn wall(seconds: u64) -> Duration {
        s(1_800_000_000 + seconds)
    }

    #[test]
    fn token_or_age_ends_a_stream() {
        let check = |token: u64, age: Option<u64>, ends: u64, reason: SessionEnd| {
            let start = Start::now();
            // The jitter of zero is zero.
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
        let after_suspend = Now { instant: start.0, unix_time: wall(7200) };
        assert_eq!(session.due(None, after_suspend), Some(Due::End(SessionEnd::TokenExpired)));
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

    /// Returns when a thousand streams end that are opened together with tokens valid for `token` seconds.
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
        assert_eq!(session.due(keepalive(), start.after(1000)), end, "the end takes precedence");
    }

    #[test]
    fn token_without_expiry_never_ends() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), Duration::MAX, None, Jitter::of(0));
        assert_eq!(session.remaining(wall(0)), None);
        assert_eq!(session.due(None, start.after(1 << 40)), None);
    }

    #[test]
    fn continued_session_keeps_its_timers() {
        let (first, second) = (Start::now(), Start(Instant::now() + s(12_345)));
        let mut session = Session::new(first.after(0), wall(100), None, Jitter::of(0));
        session.record_write(first.after(10).instant);
        let state = session.state(first.after(30).instant);
        let mut continued = Session::from_state(state, second.after(30).instant);
        assert_eq!(continued.state(second.after(30).instant), state);
        assert_eq!(continued.due(keepalive(), second.after(39)), None);
        assert_eq!(continued.due(keepalive(), second.after(40)), Some(Due::Keepalive));
        assert_eq!(continued.due(None, second.after(100)), Some(Due::End(SessionEnd::TokenExpired)));
    }

    #[test]
    fn expired_token_ends_at_once() {
        let start = Start::now();
        let mut session = Session::new(start.after(0), Duration::ZERO, None, Jitter::of(0));
        assert_eq!(session.due(None, start.after(0)), Some(Due::End(SessionEnd::TokenExpired)));
    }
}
