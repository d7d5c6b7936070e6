//! A browser, across its streams.

use super::*;

/// A browser.
pub(super) struct Browser {
    pub(super) kin: Kin,
    pub(super) stream: Option<Stream>,
    /// Streams whose connection is lost, which the service has not noticed yet, and when it will at the latest.
    pub(super) lost: Vec<(Stream, Instant)>,
    /// The id with which it comes back.
    pub(super) last_id: Option<EventId>,
    /// It is owed nothing up to this event: it has it, or has been told of a gap, or was not there.
    pub(super) covered: EventId,
    /// When it last knew all there was to know.
    pub(super) informed: Instant,
    /// Its last stream.
    pub(super) last: Option<Last>,
    /// Logouts that have ended its streams.
    pub(super) ended_by: HashSet<EventId>,
}

/// A browser's last stream.
pub(super) struct Last {
    pub(super) instance: usize,
    pub(super) run: Run,
    pub(super) ended: Option<Instant>,
    /// It has had nothing up to this event.
    none_before: EventId,
    /// Ids that were written on it, and when.
    told: Vec<(Instant, EventId)>,
}

impl Browser {
    pub(super) fn new(kin: Kin) -> Self {
        Self {
            kin,
            stream: None,
            lost: Vec::new(),
            last_id: None,
            covered: OLDEST,
            informed: WallClock::present(),
            last: None,
            ended_by: HashSet::new(),
        }
    }

    /// What it asks for, and where its stream is to start. `last` is the last event of all; `is_known` says whether the instance has to know where
    /// its last stream ended.
    pub(super) fn start(
        &mut self,
        names: Names,
        is_known: bool,
        last: EventId,
        judge: &Judge<'_>,
    ) -> (Option<String>, Start) {
        for (stream, notices_by) in std::mem::take(&mut self.lost) {
            self.lost.push((stream, notices_by));
        }
        let names_events = self.kin.repeats_last_event_id();
        let last_event_id = match names {
            Names::Usual => self.last_id.filter(|_| names_events).map(|id| id.to_string()),
            Names::Nonsense => Some("nonsense".to_owned()),
            Names::TheFuture => Some(EventId { sequence: last.sequence + 1_000_000, ..last }.to_string()),
        };
        let new = fresh(judge, last);
        let start = match (names, self.last_id.filter(|_| names_events)) {
            (Names::Usual, Some(id)) => Start {
                owed_after: id,
                none_before: id,
                at: Some(id),
                continues: true,
                informed: Some(self.informed),
                ..new
            },
            (Names::Usual, None) if self.kin.repeats_request_id() => {
                if is_known {
                    let none_before = self.confirmed();
                    Start {
                        owed_after: self.covered,
                        none_before,
                        continues: true,
                        informed: Some(self.informed),
                        ..new
                    }
                } else {
                    self.covered = last;
                    // Where it stood may be known or not.
                    Start { none_before: OLDEST, continues: true, informed: None, ..new }
                }
            }
            (Names::Usual, None) => new,
            (Names::Nonsense | Names::TheFuture, _) => {
                self.covered = last;
                Start { owes_gap: true, ..new }
            }
        };
        (last_event_id, start)
    }

    /// The making of the queue that it knows.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.last_id.map_or(self.covered, |id| id.max(self.covered)).incarnation
    }

    /// What was written up to this event so long before its last stream ended that it has certainly arrived.
    fn confirmed(&self) -> EventId {
        let Some(last) = &self.last else { return OLDEST };
        let ended = last.ended.unwrap_or_else(WallClock::present);
        // It is noticed within a second that a stream has ended.
        let certain = ended.checked_sub(UNACKNOWLEDGED + LATE_AFTER + s(1));
        let told = last.told.iter().filter(|(at, _)| certain.is_some_and(|certain| *at < certain));
        told.map(|(_, id)| *id).next_back().unwrap_or(last.none_before)
    }

    /// Whether the instance whose run is `run` has to know where its last stream ended; `has_heard` says whether it has heard of it from others.
    pub(super) fn is_known(&self, run: Run, has_heard: impl Fn(&Last) -> bool) -> bool {
        self.last.as_ref().is_some_and(|last| {
            let ended = last.ended.unwrap_or_else(WallClock::present);
            let is_recent = WallClock::present() - ended + s(5) < RESUME_WINDOW;
            let has_left = !last.told.is_empty() || kept::WAITING_STREAM_LEAVES_ITS_POSITION;
            is_recent && has_left && (last.run == run || has_heard(last))
        })
    }

    pub(super) fn open(&mut self, stream: Stream) {
        let Stream { instance, run, none_before, .. } = stream;
        self.last = Some(Last { instance, run, ended: None, none_before, told: Vec::new() });
        self.stream = Some(stream);
    }

    /// Its connection is lost, and with it what was written in the last `lost`. Returns the stream.
    pub(super) fn lose(&mut self, lost: Duration) -> Option<Stream> {
        let stream = self.stream.take()?;
        let now = WallClock::present();
        let cut = now.checked_sub(lost).unwrap_or(now);
        let arrived = |at: Instant| lost.is_zero() || at < cut;
        let mut ids = stream.written.iter().filter_map(|(at, written)| Some((*at, written.id()?)));
        if let Some((_, id)) = ids.rfind(|(at, _)| arrived(*at)) {
            self.last_id = Some(id);
            self.covered = self.covered.max(id);
            if let Some(informed) = stream.informed {
                self.informed = informed.min(cut);
            }
        }
        self.ended_by.extend(stream.ended_by());
        if let Some(last) = &mut self.last {
            last.told =
                stream.written.iter().filter_map(|(at, written)| Some((*at, written.id()?))).collect();
            last.ended = stream.ended;
        }
        Some(stream)
    }

    /// When the first of what has not arrived was written on a stream whose connection was lost at `cut`.
    pub(super) fn notices_by(stream: &Stream, lost: Duration) -> Instant {
        let now = WallClock::present();
        let cut = now.checked_sub(lost).unwrap_or(now);
        let mut unacknowledged =
            stream.written.iter().map(|(at, _)| *at).filter(|at| !lost.is_zero() && *at >= cut);
        unacknowledged.next().unwrap_or(now) + UNACKNOWLEDGED
    }

    /// The service may have ended the last stream while it did not know that its connection was lost.
    pub(super) fn note_ended(&mut self) {
        let ended = self.lost.last().and_then(|(stream, _)| stream.ended);
        if let (Some(last), Some(ended), None) = (&mut self.last, ended, &self.stream) {
            last.ended.get_or_insert(ended);
        }
    }

    /// The service has noticed the end of its last stream.
    pub(super) fn ends(&mut self, stream: &Stream) {
        if let Some(last) = &mut self.last
            && (last.instance, last.run) == (stream.instance, stream.run)
            && self.stream.is_none()
        {
            last.ended.get_or_insert(stream.ended.unwrap_or_else(WallClock::present));
        }
    }
}
