//! One consumer of the stream, until it is lost.

use std::{pin::Pin, time::Duration};

use async_nats::jetstream::{self, consumer::pull};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{connection::ConnectionState, permissions::Denied};

/// Timeout for deleting the consumer when the service stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A message with its metadata.
pub(super) struct Received {
    pub(super) message: jetstream::Message,
    /// The sequence in the stream.
    pub(super) sequence: u64,
    /// When NATS stored the message, since 1970.
    pub(super) published: Duration,
    /// The number of messages after this one that wait to be delivered.
    pub(super) pending: u64,
}

/// A consumer and its messages.
pub(super) struct Subscription {
    context: jetstream::Context,
    /// The consumer's name.
    consumer: String,
    messages: pull::Stream,
    /// The connection on which the consumer was created.
    generation: u64,
    /// Ready when NATS denies a request for messages.
    denied: Pin<Box<dyn Future<Output = Denied> + Send>>,
    /// The consumer's own sequence of the last message. The next message has the sequence after it.
    consumer_sequence: u64,
}

impl Subscription {
    /// Creates a subscription to the `messages` of the named `consumer`. It is lost with the connection of this `generation`.
    pub(super) fn new(
        context: jetstream::Context,
        consumer: String,
        messages: pull::Stream,
        generation: u64,
        denied: impl Future<Output = Denied> + Send + 'static,
    ) -> Self {
        let denied = Box::pin(denied);
        Self { context, consumer, messages, generation, denied, consumer_sequence: 0 }
    }

    /// Returns whether a message was received.
    pub(super) fn has_received(&self) -> bool {
        self.consumer_sequence > 0
    }

    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// Returns the reason why the consumer is lost: it has ended, a message was lost in transit, NATS denied a request, or the connection
    /// was lost.
    pub(super) async fn next(
        &mut self,
        connection: &mut watch::Receiver<ConnectionState>,
    ) -> Result<Received, String> {
        let generation = self.generation;
        tokio::select! {
            biased;
            // A message, or the reason why no more follow.
            message = self.messages.next() => {
                let message = message.ok_or("the consumer has ended")?.map_err(|error| error.to_string())?;
                let info = message.info().map_err(|error| format!("a message without metadata: {error}"))?;
                self.consumer_sequence += 1;
                if info.consumer_sequence != self.consumer_sequence {
                    return Err("a message was lost in transit".into());
                }
                let published = u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default();
                let (sequence, pending) = (info.stream_sequence, info.pending);
                Ok(Received { sequence, published: Duration::from_nanos(published), pending, message })
            }
            // NATS denied a request for messages, so none will arrive.
            denied = &mut self.denied => Err(denied.to_string()),
            // The connection was lost, or has already been replaced.
            state = connection.wait_for(|state| !state.connected || state.generation != generation) => {
                let error = state.ok().and_then(|state| state.error.clone());
                Err(error.unwrap_or_else(|| "reconnected to NATS".into()))
            }
        }
    }

    /// Deletes the consumer from `stream`. If the server cannot be reached, it deletes the inactive consumer itself.
    pub(super) async fn close(self, stream: &str) {
        let deleted = self.context.delete_consumer_from_stream(&self.consumer, stream);
        tokio::time::timeout(CLOSE_TIMEOUT, deleted).await.ok();
    }
}
