//! The life of the log's streams: open, start, end, close.

use std::{sync::Arc, time::Instant};

use super::{
    Continuation, EndReason, Ended, Entry, EventLog, LimitReached, Mailbox, NewStream, Stream, StreamId,
    StreamLimits,
};
use crate::{
    bookmark::{Bookmark, ResumePoint},
    gap::{Gap, GapReason},
    identity::UserId,
    language::LanguagePreference,
    notification::EventId,
};

impl<F, C> EventLog<F, C> {
    /// Sets the limits of the streams that are opened from now on. Streams beyond the new limits stay open.
    pub fn set_stream_limits(&mut self, limits: StreamLimits) {
        self.stream_limits = limits;
    }

    /// Checks that `user` may open one more stream.
    ///
    /// # Errors
    ///
    /// Returns the limit that is reached.
    pub fn check_limits(&self, user: &UserId) -> Result<(), LimitReached> {
        let StreamLimits { total, per_user } = self.stream_limits;
        if self.open_streams >= total {
            return Err(LimitReached::Total);
        }
        match self.mailbox(user) {
            Some(mailbox) if mailbox.lock().open_streams() >= per_user => Err(LimitReached::PerUser),
            _ => Ok(()),
        }
    }

    /// Opens a stream of `user`. It takes no event before [`EventLog::start`].
    pub fn open(&mut self, user: &UserId, stream: NewStream<C>) -> (Arc<Mailbox<F, C>>, StreamId) {
        self.add_stream(user, |id| Stream::new(id, stream))
    }

    /// Opens a stream of `user` that another process has handed over, whatever the limits. It takes no event before
    /// [`EventLog::continue_after`]. Its language preference is `preference`.
    pub fn open_continued(
        &mut self,
        user: &UserId,
        connection: C,
        continuation: Continuation,
        preference: LanguagePreference,
        now: Instant,
    ) -> (Arc<Mailbox<F, C>>, StreamId) {
        self.add_stream(user, |id| Stream::continued(id, connection, continuation, preference, now))
    }

    fn add_stream(
        &mut self,
        user: &UserId,
        stream: impl FnOnce(StreamId) -> Stream<C>,
    ) -> (Arc<Mailbox<F, C>>, StreamId) {
        let id = StreamId(self.opened_streams);
        self.opened_streams += 1;
        self.open_streams += 1;
        let mailbox = self.mailbox(user).cloned();
        let mailbox = mailbox.unwrap_or_else(|| self.add_mailbox(user.clone()));
        let mut contents = mailbox.lock();
        self.connected_users += usize::from(contents.open_streams() == 0);
        contents.open(stream(id));
        drop(contents);
        (mailbox, id)
    }

    /// Starts a stream after the event `after`. Its client gets `gap` first, or the gap between `after` and the first event that
    /// the log still holds. Returns whether the connection has to be woken.
    pub fn start(&self, mailbox: &Mailbox<F, C>, id: StreamId, after: EventId, gap: Option<Gap>) -> bool {
        let Some(extent) = self.extent else { return false };
        mailbox.lock().start(id, after, gap, extent.floor(), extent.latest)
    }

    /// Continues a stream of another process after the event `after`, with the same result as [`EventLog::start`]. Nothing is written to a
    /// client that has missed nothing.
    pub fn continue_after(
        &self,
        mailbox: &Mailbox<F, C>,
        id: StreamId,
        after: EventId,
        gap: Option<Gap>,
    ) -> bool {
        let Some(extent) = self.extent else { return false };
        mailbox.lock().continue_after(id, after, gap, extent.floor(), extent.latest)
    }

    /// Returns the position after which the user's events since `time` follow, and the reason if some of them have been removed.
    ///
    /// Returns none if the log does not know yet where it starts.
    #[must_use]
    pub fn position_before(
        &self,
        mailbox: &Mailbox<F, C>,
        time: Instant,
    ) -> Option<(EventId, Option<GapReason>)> {
        Some(mailbox.lock().position_before(time, self.latest()?))
    }

    /// Returns where a stream starts that was opened when `position` was the last event of the log, and the reason if events for its user
    /// since then have been removed.
    ///
    /// Returns none if the log does not know yet where it starts.
    #[must_use]
    pub fn start_position(
        &self,
        mailbox: &Mailbox<F, C>,
        position: EventId,
    ) -> Option<(EventId, Option<GapReason>)> {
        Some(mailbox.lock().start_position(position, self.extent?.floor()))
    }

    /// Ends a stream: it still takes the events published until now, and then a closing comment.
    ///
    /// Data written after `confirmed_until` may not have arrived, so the bookmark lies before it. Returns none if the stream has ended
    /// or was closed before.
    pub fn end(
        &mut self,
        mailbox: &Mailbox<F, C>,
        id: StreamId,
        reason: EndReason,
        confirmed_until: Option<Instant>,
    ) -> Option<Ended> {
        let mut contents = mailbox.lock();
        let confirmed = contents.confirmed_position(id, confirmed_until);
        let latest = self.latest().map(|latest| contents.latest(latest));
        let (stream, _) = contents.stream(id)?;
        if !stream.is_open() {
            return None;
        }
        stream.end(reason, latest);
        let bookmark = stream.resumable().zip(confirmed).map(|(resumable, position)| Bookmark {
            user: mailbox.user().clone(),
            request: resumable.request.clone(),
            point: ResumePoint { position, logged_out: resumable.logged_out },
        });
        let needs_wake = stream.wake_if_waiting();
        self.open_streams -= 1;
        self.connected_users -= usize::from(contents.open_streams() == 0);
        Some(Ended { bookmark, needs_wake })
    }

    /// Removes a stream, whether it has ended or not. Calls `abandoned` for each event whose last reader this stream was.
    pub fn close(
        &mut self,
        mailbox: &Mailbox<F, C>,
        id: StreamId,
        abandoned: &mut dyn FnMut(&Entry<F>),
    ) -> Option<Stream<C>> {
        let mut contents = mailbox.lock();
        if let Some((stream, index)) = contents.stream(id) {
            stream.abandon(index).for_each(|entry| abandoned(entry));
        }
        let stream = contents.close(id)?;
        if stream.is_open() {
            self.open_streams -= 1;
            self.connected_users -= usize::from(contents.open_streams() == 0);
        }
        let is_unused = contents.is_unused();
        drop(contents);
        if is_unused {
            self.mailboxes.remove(mailbox.user());
            self.shrink();
        }
        Some(stream)
    }
}
