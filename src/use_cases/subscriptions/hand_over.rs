//! The hand-over of open streams to another process of the service, which continues them.

use std::sync::Arc;

use domain::log::{Continuation, EndReason, Note, StreamId};
use ports::{
    inbound::{Adopt, Connection, ContinuedStream, EventStream, SuspendedConnection},
    outbound::{MAX_STREAMS, Successor, SuccessorLost},
};
use tokio::sync::oneshot;

use super::{
    Mailbox, Subscriptions,
    start::{PendingStream, StartPoint},
};

/// Maximum number of unsent bytes that are handed over at a time, not counting the last stream.
const MAX_UNSENT_BYTES: usize = 4 << 20;

/// An open stream whose connection is suspended.
struct Suspended {
    mailbox: Arc<Mailbox>,
    id: StreamId,
    connection: Arc<dyn Connection>,
}

impl Subscriptions {
    /// Hands over the open streams to `successor`, up to `limit`, and returns their number. Streams that only this process can write to, and
    /// those that have not started, stay.
    ///
    /// Each stream is served here until it is suspended, and there from its position on. It pauses for as long as the successor takes to
    /// confirm one batch.
    ///
    /// # Errors
    ///
    /// The successor is lost. This process continues the streams that it has not confirmed.
    pub async fn hand_over(&self, successor: &dyn Successor, limit: usize) -> Result<usize, SuccessorLost> {
        let open = self.open_streams();
        let mut handed_over = 0;
        for streams in open.chunks(MAX_STREAMS) {
            let streams = &streams[..streams.len().min(limit - handed_over)];
            let mut suspended = self.suspend(streams).await;
            while !suspended.is_empty() {
                let rest = suspended.split_off(batch_length(&suspended));
                let (batch, streams): (Vec<_>, Vec<_>) = suspended.into_iter().unzip();
                if let Err(lost) = successor.hand_over(streams).await {
                    for Suspended { connection, .. } in batch.iter().chain(rest.iter().map(|(rest, _)| rest))
                    {
                        connection.resume();
                    }
                    return Err(lost);
                }
                handed_over += batch.len();
                for Suspended { mailbox, id, connection } in batch {
                    // The stream is removed first, so that the end of its connection is not recorded as its client's.
                    self.shared.close(&mailbox, id, EndReason::HandedOver);
                    connection.release();
                }
                suspended = rest;
            }
        }
        Ok(handed_over)
    }

    /// Returns the open streams, those of each user in the order in which they were opened.
    pub(super) fn open_streams(&self) -> Vec<(Arc<Mailbox>, StreamId)> {
        let mailboxes: Vec<_> = self.shared.state.lock().log.mailboxes().cloned().collect();
        let mut open = Vec::new();
        for mailbox in mailboxes {
            mailbox.for_each_stream(|stream, _| open.push((Arc::clone(&mailbox), stream.id())));
        }
        open
    }

    /// Suspends the connections of `streams`. Returns the streams that can be continued.
    async fn suspend(
        &self,
        streams: &[(Arc<Mailbox>, StreamId)],
    ) -> Vec<(Suspended, (ContinuedStream, SuspendedConnection))> {
        let mut suspending = Vec::with_capacity(streams.len());
        for (mailbox, id) in streams {
            let Some(connection) = mailbox.with_stream(*id, |stream| Arc::clone(&stream.connection)) else {
                continue;
            };
            let (reply, suspended) = oneshot::channel();
            // The receiver waits below.
            let on_suspended = Box::new(|suspended| drop(reply.send(suspended)));
            Arc::clone(&connection).suspend(on_suspended);
            suspending.push((Suspended { mailbox: Arc::clone(mailbox), id: *id, connection }, suspended));
        }
        let mut all_suspended = Vec::with_capacity(suspending.len());
        for (stream, suspended) in suspending {
            let Ok(Some(connection)) = suspended.await else { continue };
            match self.continued(&stream) {
                Some(continued) => all_suspended.push((stream, (continued, connection))),
                // It has ended or has not started. Its connection continues here.
                None => stream.connection.resume(),
            }
        }
        all_suspended
    }

    /// Returns the state of a suspended stream. None if it has ended, or has not started.
    fn continued(&self, stream: &Suspended) -> Option<ContinuedStream> {
        let shared = &self.shared;
        let state = shared.state.lock();
        let (latest, now) = (state.log.latest()?, shared.clock.now());
        let confirmed_until = shared.confirmed_until(now);
        let continuation = stream.mailbox.continuation(stream.id, latest, confirmed_until, now)?;
        let types = state.filters.get(&stream.id).map(|types| (**types).clone());
        Some(ContinuedStream { user: stream.mailbox.user().clone(), types, continuation })
    }
}

/// Returns how many of the first streams have at most [`MAX_UNSENT_BYTES`] together, at least one.
fn batch_length(streams: &[(Suspended, (ContinuedStream, SuspendedConnection))]) -> usize {
    let mut bytes = 0;
    let is_within = |(_, (_, connection)): &&(_, (_, SuspendedConnection))| {
        let fits = bytes <= MAX_UNSENT_BYTES;
        bytes += connection.unsent.len();
        fits
    };
    streams.iter().take_while(is_within).count()
}

impl Adopt for Subscriptions {
    fn adopt(&self, stream: ContinuedStream, connection: Arc<dyn Connection>) -> Box<dyn EventStream> {
        let ContinuedStream { user, types, continuation } = stream;
        let Continuation { position, issued_at, .. } = continuation;
        let (gap, known_language) = (continuation.gap.clone(), continuation.language.clone());
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.state.lock();
        let preference = state.languages.preference(&user, continuation.requested.clone());
        let language = state.languages.language(&preference);
        let (mailbox, id) = state.log.open_continued(&user, connection, continuation, preference, now);
        shared.metrics.stream_opened(state.log.open_streams(), state.log.connected_users());
        if known_language.as_ref().unwrap_or(&shared.default_language) != &language {
            mailbox.with_stream(id, |stream| stream.add_note(Note::Language));
        }
        let pending = PendingStream {
            mailbox,
            id,
            start_point: StartPoint::Continued(position, gap),
            opened: now,
            latest_at_open: None,
            ahead_since: None,
        };
        Box::new(shared.open_stream(state, pending, issued_at, types))
    }
}
