//! Where reading the stream stands, and where it begins or goes on.

use std::time::Duration;

use async_nats::jetstream::stream;
use domain::notification::{EventId, Incarnation};

/// What was read last. It is kept here, not on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The last message that was handled, of whatever type.
    pub(super) last: EventId,
    /// When the server took that message, since 1970.
    pub(super) published: Duration,
}

/// From where on a consumer is to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// From this sequence on.
    Sequence(u64),
    /// From this time on, since 1970.
    Time(Duration),
}

impl Start {
    /// The start in a stream that is now of `incarnation` and ends with the sequence `last`.
    ///
    /// At first it is `recent`, the time from which on events are to be remembered, or the present end without one. Later it
    /// is the message after the last one that was handled. A stream that has lost its end (a crash before it was on the disk)
    /// goes on with its new one. In a stream that was made anew, sequences mean nothing: what was published since counts,
    /// for it may have been restored from a backup, with everything that has long been read.
    pub(super) fn after(
        position: Option<Position>,
        incarnation: Incarnation,
        last: u64,
        recent: Option<Duration>,
    ) -> Self {
        match (position, recent) {
            (Some(Position { last: handled, .. }), _) if handled.incarnation == incarnation => {
                Self::Sequence(handled.sequence.min(last) + 1)
            }
            (Some(Position { published, .. }), _) => Self::Time(published + Duration::from_nanos(1)),
            (None, Some(recent)) => Self::Time(recent),
            (None, None) => Self::Sequence(last + 1),
        }
    }
}

/// When the stream was made, in milliseconds since 1970: every server and every client sees the same.
pub(super) fn incarnation(info: &stream::Info) -> Incarnation {
    let milliseconds = info.created.unix_timestamp_nanos() / 1_000_000;
    Incarnation::of(u64::try_from(milliseconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_where_it_stopped() {
        const RECENT: Duration = Duration::from_secs(700);
        let at = |incarnation, sequence| {
            let last = EventId { incarnation: Incarnation::of(incarnation), sequence };
            Some(Position { last, published: Duration::from_mins(15) })
        };
        let check = |position, incarnation, last, expected| {
            assert_eq!(Start::after(position, Incarnation::of(incarnation), last, Some(RECENT)), expected);
        };
        check(None, 5, 700, Start::Time(RECENT));
        check(at(5, 599), 5, 700, Start::Sequence(600));
        check(at(5, 700), 5, 700, Start::Sequence(701));
        check(at(5, 0), 5, 0, Start::Sequence(1));
        check(at(5, 700), 5, 400, Start::Sequence(401));
        check(at(5, 700), 6, 3, Start::Time(Duration::from_mins(15) + Duration::from_nanos(1)));
        assert_eq!(Start::after(None, Incarnation::of(5), 700, None), Start::Sequence(701));
    }
}
