//! The position of the source in the stream, and the start of a new consumer.

use std::time::Duration;

use async_nats::jetstream::stream;
use domain::notification::{EventId, Incarnation};

/// The last message that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Its id. The message can be of any type.
    pub(super) last: EventId,
    /// When NATS stored it, since 1970.
    pub(super) published: Duration,
}

/// The first message that a consumer delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The message with this sequence, or the next one.
    Sequence(u64),
    /// The first message at this time or later, since 1970.
    Time(Duration),
}

impl Start {
    /// Returns the start in a stream that has this `incarnation` and ends with the sequence `last`.
    ///
    /// - Without a position, reading starts at the time `recent`, or at the end of the stream if that is none.
    /// - With a position in this incarnation, it resumes with the message after the position. If the stream has lost its end (a crash
    ///   before it was written to disk), it resumes at the new end.
    /// - With a position in another incarnation, sequences are not comparable, so it resumes after the time of the last message. The stream
    ///   may have been restored from a backup, with messages that were handled long ago.
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

/// Returns the creation time of the stream, in milliseconds since 1970. It is the same for every server and client.
pub(super) fn incarnation(info: &stream::Info) -> Incarnation {
    let milliseconds = info.created.unix_timestamp_nanos() / 1_000_000;
    Incarnation::of(u64::try_from(milliseconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_resumes_after_the_position() {
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
