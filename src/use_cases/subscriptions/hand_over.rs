//! The hand-over of open streams to another process of the service, which continues them.

use std::sync::Arc;

use domain::log::{EndReason, StreamId};
use ports::{
    inbound::{Connection, ContinuedStream, SuspendedConnection},
    outbound::{MAX_STREAMS, Successor, SuccessorLost},
};
use tokio::sync::oneshot;

use super::{Mailbox, Subscriptions};

/// Maximum number of unsent bytes that are handed over at a time, not counting the last stream.
const MAX_UNSENT_BYTES: usize = 4 << 20;

/// An open stream whose connection is suspended. Dropping it continues the connection here, unless another process continues it.
struct Suspended {
    mailbox: Arc<Mailbox>,
    id: StreamId,
    connection: Arc<dyn Connection>,
    is_handed_over: bool,
}

impl Drop for Suspended {
    fn drop(&mut self) {
        if !self.is_handed_over {
            self.connection.resume();
        }
    }
}

/// A suspended stream, with what its successor needs.
type Prepared = (Suspended, (ContinuedStream, SuspendedConnection));

impl Subscriptions {
    /// Hands over the open streams to `successor`, up to `limit`, and returns their number. Streams that only this process can write to, and
    /// those that have not started, stay.
    ///
    /// Each stream is served here until it is suspended, and there from its position on. It pauses for as long as the successor takes to
    /// confirm one batch. If the future is dropped, a batch that was sent is still confirmed or continued here, and no other follows.
    ///
    /// # Errors
    ///
    /// The successor is lost. This process continues the streams that it has not confirmed.
    pub async fn hand_over<S: Successor + 'static>(
        &self,
        successor: &Arc<S>,
        limit: usize,
    ) -> Result<usize, SuccessorLost> {
        let open = self.open_streams();
        let mut handed_over = 0;
        for streams in open.chunks(MAX_STREAMS) {
            let streams = &streams[..streams.len().min(limit - handed_over)];
            let mut suspended = self.suspend(streams).await;
            while !suspended.is_empty() {
                let rest = suspended.split_off(batch_length(&suspended));
                let batch = self.clone().hand_over_batch(Arc::clone(successor), suspended);
                let confirmed = tokio::spawn(batch).await;
                handed_over +=
                    confirmed.unwrap_or_else(|panic| Err(SuccessorLost { cause: panic.to_string() }))?;
                suspended = rest;
            }
        }
        Ok(handed_over)
    }

    /// Hands over one batch, and returns the number of its streams.
    async fn hand_over_batch(
        self,
        successor: Arc<impl Successor>,
        batch: Vec<Prepared>,
    ) -> Result<usize, SuccessorLost> {
        let (mut suspended, streams): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        successor.hand_over(streams).await?;
        for stream in &mut suspended {
            // The stream is removed first, so that the end of its connection is not recorded as its client's.
            self.shared.close(&stream.mailbox, stream.id, EndReason::HandedOver);
            stream.is_handed_over = true;
            Arc::clone(&stream.connection).release();
        }
        Ok(suspended.len())
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
    async fn suspend(&self, streams: &[(Arc<Mailbox>, StreamId)]) -> Vec<Prepared> {
        let mut suspending = Vec::with_capacity(streams.len());
        for (mailbox, id) in streams {
            let Some(connection) = mailbox.with_stream(*id, |stream| Arc::clone(&stream.connection)) else {
                continue;
            };
            let (reply, suspended) = oneshot::channel();
            let (mailbox, id, of_reply) = (Arc::clone(mailbox), *id, Arc::clone(&connection));
            Arc::clone(&connection).suspend(Box::new(move |suspended| {
                let stream = || Suspended { mailbox, id, connection: of_reply, is_handed_over: false };
                // If nobody waits any more, the stream is dropped and continues.
                reply.send(suspended.map(|suspended| (stream(), suspended))).ok();
            }));
            suspending.push(suspended);
        }
        let mut prepared = Vec::with_capacity(suspending.len());
        for suspended in suspending {
            let Ok(Some((stream, connection))) = suspended.await else { continue };
            // A stream that has ended or has not started continues here.
            prepared.extend(self.continued(&stream).map(|continued| (stream, (continued, connection))));
        }
        prepared
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
fn batch_length(streams: &[Prepared]) -> usize {
    let mut bytes = 0;
    let is_within = |(_, (_, connection)): &&Prepared| {
        let fits = bytes <= MAX_UNSENT_BYTES;
        bytes += connection.unsent.len();
        fits
    };
    streams.iter().take_while(is_within).count()
}
