//! Where a new stream starts: after what its client has had.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    bookmark::{RequestId, ResumePoint},
    gap::Gap,
    log::StreamId,
    notification::EventId,
};

use super::{Mailbox, NatsState, Shared, State};

/// An event that another instance has already delivered reaches this one within this time, unless there is none.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How much a clock of NATS may go before ours: of what was published while events were not yet read, so much is given in addition.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);
/// Of an id that is none, so much is shown to the client that has sent it.
const SHOWN_BYTES: usize = 200;

/// Where a client wants to go on.
pub(super) enum Beginning {
    /// With what is published from the opening of its stream on.
    Opening,
    /// After this event.
    After(EventId),
    /// Where the stream stood that the same client had before; else with its opening.
    Remembered(RequestId),
    /// After something that is no event.
    Nowhere(String),
}

impl Beginning {
    /// What a client has named as the last event it has had. (WHATWG HTML, 9.2.4: one that has had none sends nothing; an
    /// empty text is the same.)
    pub(super) fn named(text: String) -> Self {
        match text.parse() {
            _ if text.is_empty() => Self::Opening,
            Ok(id) => Self::After(id),
            Err(_) => Self::Nowhere(text),
        }
    }
}

/// A stream of which it is not known yet where it starts.
pub(super) struct Opening {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) id: StreamId,
    pub(super) beginning: Beginning,
    pub(super) opened: Instant,
    /// The last event of all when it was opened, when the log was filled already.
    pub(super) opened_at: Option<EventId>,
    /// Since when its client has seemed to know an event that is still to come.
    pub(super) ahead_since: Option<Instant>,
}

impl Shared {
    /// Starts every stream of which it can be known by now where it starts.
    pub(super) fn start_openings(&self, state: &mut State, now: Instant) {
        if state.nats == NatsState::Filling {
            return;
        }
        let mut openings = std::mem::take(&mut state.openings);
        openings.retain_mut(|opening| !self.start(state, opening, now));
        state.openings = openings;
    }

    /// Starts a stream, if it can be known where it starts.
    pub(super) fn start(&self, state: &mut State, opening: &mut Opening, now: Instant) -> bool {
        if state.nats == NatsState::Filling || !state.knows_languages {
            return false;
        }
        let Some(latest) = state.log.latest() else { return false };
        let Opening { mailbox, id, beginning, opened, opened_at, ahead_since } = opening;
        if let Beginning::Remembered(request) = beginning {
            if !state.knows_bookmarks {
                return false;
            }
            // The stream that the client had may have ended, or not yet be known to have.
            let open = mailbox.resume_point(*id, request, self.written_since(now));
            let ended = state.bookmarks.take(mailbox.user(), request, now);
            let point = open.into_iter().chain(ended).reduce(ResumePoint::latest);
            if let Some(point) = point {
                // The bookmark is taken: should the stream end before it starts, it leaves one again.
                mailbox.with_stream(*id, |stream| stream.resume(point));
            }
            *beginning = point.map_or(Beginning::Opening, |point| Beginning::After(point.position));
        }
        let log = &state.log;
        let opening_position = || {
            let time = opened.checked_sub(CLOCK_LEEWAY).unwrap_or(*opened);
            let position = match *opened_at {
                Some(position) => log.start_position(mailbox, position),
                None => log.position_before(mailbox, time),
            };
            position.unwrap_or((latest, None))
        };
        let (after, gap) = match beginning {
            Beginning::Opening | Beginning::Remembered(_) => {
                let (position, lost) = opening_position();
                (position, lost.map(|reason| Gap { last_event_id: None, reason }))
            }
            Beginning::After(id) if id.follows(latest) => {
                let since = ahead_since.filter(|_| state.nats == NatsState::Reading).unwrap_or(now);
                *ahead_since = Some(since);
                // Perhaps another instance has been quicker.
                if now.saturating_duration_since(since) < AHEAD_TIMEOUT {
                    return false;
                }
                (opening_position().0, Some(Gap::unknown(id.to_string())))
            }
            Beginning::After(id) => (*id, None),
            Beginning::Nowhere(text) => {
                let shown = text.floor_char_boundary(SHOWN_BYTES);
                (opening_position().0, Some(Gap::unknown(text[..shown].to_owned())))
            }
        };
        if log.start(mailbox, *id, after, gap) {
            mailbox.with_stream(*id, |stream| self.wake(&stream.connection));
        }
        true
    }
}
