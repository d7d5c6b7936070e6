//! The streams of the log: they open, start, end and close.

use std::{sync::Arc, time::Instant};

use super::{
    EndReason, Ended, Entry, EventLog, LimitReached, Mailbox, NewStream, Stream, StreamId, StreamLimits,
};
use crate::{
    bookmark::{Bookmark, ResumePoint},
    gap::{Gap, GapReason},
    identity::UserId,
    notification::EventId,
};

impl<F, C> EventLog<F, C> {
    /// Whether `user` may open one more stream.
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub fn check_limits(&self, user: &UserId) -> Result<(), LimitReached> {
        let StreamLimits { total, per_user } = self.stream_limits;
        if self.open >= total {
            return Err(LimitReached::Total);
        }
        match self.mailbox(user) {
            Some(mailbox) if mailbox.lock().open_streams() >= per_user => Err(LimitReached::PerUser),
            _ => Ok(()),
        }
    }

    /// Opens a stream of `user`. It takes no event before it is started.
    pub fn open(&mut self, user: &UserId, stream: NewStream<C>) -> (Arc<Mailbox<F, C>>, StreamId) {
        let id = StreamId(self.opened);
        self.opened += 1;
        self.open += 1;
        let mailbox = self.mailbox(user).cloned();
        let mailbox = mailbox.unwrap_or_else(|| self.add_mailbox(user.clone()));
        let mut contents = mailbox.lock();
        self.users += usize::from(contents.open_streams() == 0);
        contents.open(Stream::new(id, stream));
        drop(contents);
        (mailbox, id)
    }

    /// Starts a stream after the event `after`. `gap` is what its client is told first. Events that are not held any more are told by a gap
    /// as well. True when its connection has to be woken.
    pub fn start(&self, mailbox: &Mailbox<F, C>, id: StreamId, after: EventId, gap: Option<Gap>) -> bool {
        let Some(extent) = self.extent else { return false };
        mailbox.lock().start(id, after, gap, extent.floor(), extent.latest)
    }

    /// The last event before `time` that matters to the user of the mailbox, with a reason when events since then are not held any more.
    /// None when it is not known yet where the log starts.
    #[must_use]
    pub fn position_before(
        &self,
        mailbox: &Mailbox<F, C>,
        time: Instant,
    ) -> Option<(EventId, Option<GapReason>)> {
        Some(mailbox.lock().position_before(time, self.latest()?))
    }

    /// Where a stream starts that was opened when `position` was the last event of all, with a reason when events for its user since then are
    /// not held any more. None when it is not known yet where the log starts.
    #[must_use]
    pub fn start_position(
        &self,
        mailbox: &Mailbox<F, C>,
        position: EventId,
    ) -> Option<(EventId, Option<GapReason>)> {
        Some(mailbox.lock().start_position(position, self.extent?.floor()))
    }

    /// Ends a stream: it takes what was published until now, and then a closing comment. What it leaves behind is returned for a client
    /// that returns. Only the first call has an effect; the answer is none then.
    pub fn end(
        &mut self,
        mailbox: &Mailbox<F, C>,
        id: StreamId,
        reason: EndReason,
        written: Option<Instant>,
    ) -> Option<Ended> {
        let mut contents = mailbox.lock();
        let confirmed = contents.confirmed_position(id, written);
        let latest = self.latest().map(|latest| contents.latest(latest));
        let (stream, _) = contents.stream(id)?;
        if !stream.is_open() {
            return None;
        }
        stream.end(reason, latest);
        let bookmark = stream.resumable.as_ref().zip(confirmed).map(|(resumable, position)| Bookmark {
            user: mailbox.user().clone(),
            request: resumable.request.clone(),
            point: ResumePoint { position, logged_out: resumable.logged_out },
        });
        let needs_wake = stream.wake_if_waiting();
        self.open -= 1;
        self.users -= usize::from(contents.open_streams() == 0);
        Some(Ended { bookmark, needs_wake })
    }

    /// Takes a stream away, whether it has ended or not. `abandoned` is called for each event whose delivery is thereby complete.
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
            self.open -= 1;
            self.users -= usize::from(contents.open_streams() == 0);
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
