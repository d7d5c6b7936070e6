//! One stream's life: what is due when.

use std::time::{Duration, Instant};

use crate::{keepalive::KeepalivePolicy, spread::Spread};

/// When a stream was last written to, and when its life is over. It never asks for the time.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    written: Instant,
    end: Option<(Instant, EndOfLife)>,
}

/// Why a stream's life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfLife {
    /// The token that opened it has expired.
    TokenExpired,
    /// It has reached the age at which streams are ended.
    OldAge,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A sign of life.
    Keepalive,
    /// The end.
    End(EndOfLife),
}

impl Session {
    /// A stream that is opened at `now` with a token that is valid for `token`, and that may grow `max_age` old. Lives that
    /// begin together do not end together: `spread` takes up to 5 % off.
    #[must_use]
    pub fn new(now: Instant, token: Duration, max_age: Option<Duration>, spread: Spread) -> Self {
        let (time, because) = match max_age {
            Some(age) if age < token => (age, EndOfLife::OldAge),
            _ => (token, EndOfLife::TokenExpired),
        };
        // A token that outlives the clock does not end.
        Self { written: now, end: now.checked_add(spread.earlier(time)).map(|end| (end, because)) }
    }

    /// Something was written at `now`.
    pub fn write(&mut self, now: Instant) {
        self.written = now;
    }

    /// For how long nothing was written at `now`.
    #[must_use]
    pub fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.written)
    }

    /// How much of its life is left at `now`; none when it does not end.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.end.map(|(end, _)| end.saturating_duration_since(now))
    }

    /// What is due at `now`; what it answers counts as done.
    pub fn due(&mut self, keepalive: Option<KeepalivePolicy>, now: Instant) -> Option<Due> {
        if let Some((end, because)) = self.end
            && now >= end
        {
            return Some(Due::End(because));
        }
        if keepalive.is_some_and(|policy| policy.is_due(self.written, now)) {
            self.written = now;
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

    #[test]
    fn the_shorter_of_token_and_age_ends_a_stream() {
        let check = |token: u64, age: Option<u64>, ends: u64, because: EndOfLife| {
            let now = Instant::now();
            // Zero has the place zero: nothing is taken off.
            let mut session = Session::new(now, s(token), age.map(s), Spread::of(0));
            assert_eq!(session.due(None, now + s(ends - 1)), None);
            assert_eq!(session.due(None, now + s(ends)), Some(Due::End(because)));
        };
        check(100, None, 100, EndOfLife::TokenExpired);
        check(100, Some(50), 50, EndOfLife::OldAge);
        check(100, Some(200), 100, EndOfLife::TokenExpired);
    }

    #[test]
    fn it_tells_how_long_it_has_been_silent_and_has_to_live() {
        let now = Instant::now();
        let mut session = Session::new(now, s(100), None, Spread::of(0));
        session.write(now + s(20));
        assert_eq!(session.silent(now + s(50)), s(30));
        assert_eq!(session.remaining(now + s(50)), Some(s(50)));
        assert_eq!(session.remaining(now + s(101)), Some(s(0)));
        assert_eq!(Session::new(now, Duration::MAX, None, Spread::of(0)).remaining(now), None);
    }

    #[test]
    fn a_thousand_tokens_that_were_made_together_do_not_end_together() {
        let now = Instant::now();
        let ends: Vec<_> = (0..1000)
            .map(|n| {
                let mut session = Session::new(now, s(1000), None, Spread::of(n));
                (940..=1000).find(|at| session.due(None, now + s(*at)).is_some()).expect("an end in time")
            })
            .collect();
        for second in 951..=1000 {
            let together = ends.iter().filter(|end| **end == second).count();
            assert!((15..=25).contains(&together), "{together} of 1000 end in second {second}");
        }
    }

    #[test]
    fn silence_is_broken_once_an_interval() {
        let now = Instant::now();
        let mut session = Session::new(now, s(1000), None, Spread::of(0));
        assert_eq!(session.due(keepalive(), now + s(29)), None);
        assert_eq!(session.due(keepalive(), now + s(30)), Some(Due::Keepalive));
        assert_eq!(session.due(keepalive(), now + s(30)), None);
        session.write(now + s(50));
        assert_eq!(session.due(keepalive(), now + s(70)), None);
        assert_eq!(session.due(keepalive(), now + s(80)), Some(Due::Keepalive));
        assert_eq!(
            session.due(keepalive(), now + s(1000)),
            Some(Due::End(EndOfLife::TokenExpired)),
            "not both"
        );
    }

    #[test]
    fn a_token_for_ever_is_no_end() {
        let now = Instant::now();
        let mut session = Session::new(now, Duration::MAX, None, Spread::of(0));
        assert_eq!(session.due(None, now + s(1 << 40)), None);
    }
}
