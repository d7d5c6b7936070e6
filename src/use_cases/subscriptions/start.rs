//! The start position of a new stream: after the last event that its client has received.

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

/// How long a stream waits for an event that its client already has and that is not in the log yet. Another instance may have delivered
/// it earlier.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a stream of another process waits for its position. This process may read NATS later than the other one while thousands of
/// streams are handed over.
const CONTINUED_AHEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Tolerated difference between the clock of NATS and the clock of this instance. A stream that was opened before the log was filled
/// starts this much earlier than it was opened.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);
/// Maximum length of an invalid last event id that is repeated to its client, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// The position that a client asks for.
pub(super) enum StartPoint {
    /// The first event published after the stream was opened.
    Now,
    /// The first event after this one.
    After(EventId),
    /// The position of the client's previous stream, which had this request id. Without a bookmark the same as `Now`.
    Bookmark(RequestId),
    /// An invalid last event id.
    Invalid(String),
    /// The position at which another process has left the stream, and the gap to report first.
    Continued(EventId, Option<Gap>),
}

impl StartPoint {
    /// Parses a last event id. An empty one means that the client has not received any event (WHATWG HTML, 9.2.4).
    pub(super) fn parse(text: String) -> Self {
        match text.parse() {
            _ if text.is_empty() => Self::Now,
            Ok(id) => Self::After(id),
            Err(_) => Self::Invalid(text),
        }
    }
}

/// An open stream that has no start position yet.
pub(super) struct PendingStream {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) id: StreamId,
    pub(super) start_point: StartPoint,
    /// When the stream was opened.
    pub(super) opened: Instant,
    /// The last event of the log when the stream was opened. None if the log was not filled yet.
    pub(super) latest_at_open: Option<EventId>,
    /// Since when the stream has been waiting for an event that its client already has.
    pub(super) ahead_since: Option<Instant>,
}

impl Shared {
    /// Starts every pending stream whose start position can be determined.
    pub(super) fn start_pending(&self, state: &mut State, now: Instant) {
        if state.nats == NatsState::Filling {
            return;
        }
        let mut all_pending = std::mem::take(&mut state.pending);
        all_pending.retain_mut(|pending| !self.start(state, pending, now));
        state.pending = all_pending;
    }

    /// Starts a stream if its start position can be determined. Returns whether it has started.
    pub(super) fn start(&self, state: &mut State, pending: &mut PendingStream, now: Instant) -> bool {
        if state.nats == NatsState::Filling || !state.languages_loaded {
            return false;
        }
        let Some(latest) = state.log.latest() else { return false };
        let PendingStream { mailbox, id, start_point, opened, latest_at_open, ahead_since } = pending;
        if let StartPoint::Bookmark(request) = start_point {
            if !state.bookmarks_loaded {
                return false;
            }
            // The service may not have noticed yet that the client's previous stream has ended.
            let open = mailbox.resume_point(*id, request, self.confirmed_until(now));
            let ended = state.bookmarks.take(mailbox.user(), request, now);
            let point = open.into_iter().chain(ended).reduce(ResumePoint::latest);
            if let Some(point) = point {
                // The bookmark was removed. If the stream ends before it starts, it leaves the same one again.
                mailbox.with_stream(*id, |stream| stream.resume(point));
            }
            *start_point = point.map_or(StartPoint::Now, |point| StartPoint::After(point.position));
        }
        let log = &state.log;
        let position_at_open = || {
            let time = opened.checked_sub(CLOCK_LEEWAY).unwrap_or(*opened);
            let position = match *latest_at_open {
                Some(position) => log.start_position(mailbox, position),
                None => log.position_before(mailbox, time),
            };
            position.unwrap_or((latest, None))
        };
        let mut is_ahead = |id: EventId, timeout| {
            if !id.follows(latest) {
                return false;
            }
            let since = ahead_since.filter(|_| state.nats == NatsState::Reading).unwrap_or(now);
            *ahead_since = Some(since);
            now.saturating_duration_since(since) < timeout
        };
        let (after, gap) = match start_point {
            StartPoint::Continued(position, gap) => {
                if is_ahead(*position, CONTINUED_AHEAD_TIMEOUT) {
                    return false;
                }
                if log.continue_after(mailbox, *id, *position, gap.take()) {
                    mailbox.with_stream(*id, |stream| self.wake(&stream.connection));
                }
                return true;
            }
            StartPoint::Now | StartPoint::Bookmark(_) => {
                let (position, lost) = position_at_open();
                (position, lost.map(|reason| Gap { last_event_id: None, reason }))
            }
            StartPoint::After(id) if id.follows(latest) => {
                // Another instance may have read the event earlier than this one.
                if is_ahead(*id, AHEAD_TIMEOUT) {
                    return false;
                }
                (position_at_open().0, Some(Gap::unknown(id.to_string())))
            }
            StartPoint::After(id) => (*id, None),
            StartPoint::Invalid(text) => {
                let shown = text.floor_char_boundary(MAX_SHOWN_BYTES);
                (position_at_open().0, Some(Gap::unknown(text[..shown].to_owned())))
            }
        };
        if log.start(mailbox, *id, after, gap) {
            mailbox.with_stream(*id, |stream| self.wake(&stream.connection));
        }
        true
    }
}
