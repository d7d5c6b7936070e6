//! A browser with its streams.

use super::*;

pub(super) struct Browser {
    pub(super) kind: BrowserKind,
    pub(super) stream: Option<Stream>,
    /// The streams whose connection is lost without the service having noticed, each with the latest time at which it will.
    pub(super) lost: Vec<(Stream, Instant)>,
    /// The last event id.
    pub(super) last_id: Option<EventId>,
    /// Every event after this one has still to be delivered. Earlier ones were delivered, are in a gap, or are older than the first connection.
    pub(super) expected_after: EventId,
    /// When the browser last had everything that was published.
    pub(super) up_to_date_at: Instant,
    pub(super) last_stream: Option<LastStream>,
    /// The logouts that have ended streams of this browser.
    pub(super) ended_by: HashSet<EventId>,
}

/// A browser's last stream.
pub(super) struct LastStream {
    pub(super) instance: usize,
    pub(super) run: Run,
    pub(super) ended: Option<Instant>,
    /// The stream may only deliver events after this one.
    allowed_after: EventId,
    /// The ids that were written on the stream, with their times.
    written_ids: Vec<(Instant, EventId)>,
}

impl Browser {
    pub(super) fn new(kind: BrowserKind) -> Self {
        Self {
            kind,
            stream: None,
            lost: Vec::new(),
            last_id: None,
            expected_after: OLDEST,
            up_to_date_at: WallClock::present(),
            last_stream: None,
            ended_by: HashSet::new(),
        }
    }

    /// Returns the last event id to send, and the expected start of the stream. `last` is the last published event. `is_known` is whether the
    /// instance has to know the position of the browser's last stream.
    pub(super) fn start(
        &mut self,
        sent_id: SentId,
        is_known: bool,
        last: EventId,
        facts: &Facts<'_>,
    ) -> (Option<String>, ExpectedStart) {
        let names_events = self.kind.repeats_last_event_id();
        let last_event_id = match sent_id {
            SentId::Usual => self.last_id.filter(|_| names_events).map(|id| id.to_string()),
            SentId::Invalid => Some("nonsense".to_owned()),
            SentId::Future => Some(EventId { sequence: last.sequence + 1_000_000, ..last }.to_string()),
        };
        let new = start_of_new_client(facts, last);
        let start = match (sent_id, self.last_id.filter(|_| names_events)) {
            (SentId::Usual, Some(id)) => ExpectedStart {
                expected_after: id,
                allowed_after: id,
                position: Some(id),
                continues: true,
                up_to_date_at: Some(self.up_to_date_at),
                ..new
            },
            (SentId::Usual, None) if self.kind.repeats_request_id() => {
                if is_known {
                    let allowed_after = self.confirmed();
                    ExpectedStart {
                        expected_after: self.expected_after,
                        allowed_after,
                        continues: true,
                        up_to_date_at: Some(self.up_to_date_at),
                        ..new
                    }
                } else {
                    self.expected_after = last;
                    // The instance may or may not know the position of the last stream.
                    ExpectedStart { allowed_after: OLDEST, continues: true, up_to_date_at: None, ..new }
                }
            }
            (SentId::Usual, None) => new,
            (SentId::Invalid | SentId::Future, _) => {
                self.expected_after = last;
                ExpectedStart { expects_gap: true, ..new }
            }
        };
        (last_event_id, start)
    }

    /// Returns the incarnation of the queue that the browser knows.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.last_id.map_or(self.expected_after, |id| id.max(self.expected_after)).incarnation
    }

    /// Returns the last event that was written before the unacknowledged window of the last stream, and has certainly arrived.
    fn confirmed(&self) -> EventId {
        let Some(last) = &self.last_stream else { return OLDEST };
        let ended = last.ended.unwrap_or_else(WallClock::present);
        // The service notices the end of a stream within a second.
        let certain = ended.checked_sub(UNACKNOWLEDGED + LATE_AFTER + s(1));
        let written_ids =
            last.written_ids.iter().filter(|(at, _)| certain.is_some_and(|certain| *at < certain));
        written_ids.map(|(_, id)| *id).next_back().unwrap_or(last.allowed_after)
    }

    /// Returns whether the instance in the run `run` has to know the position of the last stream. `has_received` says whether the instance has
    /// received the bookmark of that stream from another instance.
    pub(super) fn is_known(&self, run: Run, has_received: impl Fn(&LastStream) -> bool) -> bool {
        self.last_stream.as_ref().is_some_and(|last| {
            let ended = last.ended.unwrap_or_else(WallClock::present);
            let is_recent = WallClock::present() - ended + s(5) < RESUME_WINDOW;
            let has_left = !last.written_ids.is_empty() || unmet::UNSTARTED_STREAM_LEAVES_ITS_POSITION;
            is_recent && has_left && (last.run == run || has_received(last))
        })
    }

    pub(super) fn open(&mut self, stream: Stream) {
        let Stream { instance, run, allowed_after, .. } = stream;
        self.last_stream =
            Some(LastStream { instance, run, ended: None, allowed_after, written_ids: Vec::new() });
        self.stream = Some(stream);
    }

    /// Loses the connection and the data written within the last `lost`. Returns the stream.
    pub(super) fn lose(&mut self, lost: Duration) -> Option<Stream> {
        let stream = self.stream.take()?;
        let now = WallClock::present();
        let cut = now.checked_sub(lost).unwrap_or(now);
        let arrived = |at: Instant| lost.is_zero() || at < cut;
        let mut ids = stream.written.iter().filter_map(|(at, written)| Some((*at, written.id()?)));
        if let Some((_, id)) = ids.rfind(|(at, _)| arrived(*at)) {
            self.last_id = Some(id);
            self.expected_after = self.expected_after.max(id);
            if let Some(up_to_date_at) = stream.up_to_date_at {
                self.up_to_date_at = up_to_date_at.min(cut);
            }
        }
        self.ended_by.extend(stream.ended_by());
        if let Some(last) = &mut self.last_stream {
            last.written_ids =
                stream.written.iter().filter_map(|(at, written)| Some((*at, written.id()?))).collect();
            last.ended = stream.ended;
        }
        Some(stream)
    }

    /// Returns the latest time at which the service notices the loss of a connection and of the data written within the last `lost`.
    pub(super) fn noticed_by(stream: &Stream, lost: Duration) -> Instant {
        let now = WallClock::present();
        let cut = now.checked_sub(lost).unwrap_or(now);
        let mut unacknowledged =
            stream.written.iter().map(|(at, _)| *at).filter(|at| !lost.is_zero() && *at >= cut);
        unacknowledged.next().unwrap_or(now) + UNACKNOWLEDGED
    }

    /// Records that the service has ended the last stream without having noticed the loss of its connection.
    pub(super) fn record_unnoticed_end(&mut self) {
        let ended = self.lost.last().and_then(|(stream, _)| stream.ended);
        if let (Some(last), Some(ended), None) = (&mut self.last_stream, ended, &self.stream) {
            last.ended.get_or_insert(ended);
        }
    }

    /// Records that the service has noticed the end of the last stream.
    pub(super) fn record_end(&mut self, stream: &Stream) {
        if let Some(last) = &mut self.last_stream
            && (last.instance, last.run) == (stream.instance, stream.run)
            && self.stream.is_none()
        {
            last.ended.get_or_insert(stream.ended.unwrap_or_else(WallClock::present));
        }
    }
}
