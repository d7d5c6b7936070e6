//! One consumer of the bus's stream, until it is lost.

use std::{pin::Pin, time::Duration};

use async_nats::jetstream::{self, consumer::pull};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{connection::LineState, permissions::Denied};

/// Stopping does not wait longer than this for a bus that is away.
const CLOSING: Duration = Duration::from_secs(2);

/// A message, and what the server says of it.
pub(super) struct Received {
    pub(super) message: jetstream::Message,
    /// Its position in the stream.
    pub(super) sequence: u64,
    /// When the server took it, since 1970.
    pub(super) published: Duration,
    /// How many stand behind it.
    pub(super) pending: u64,
}

/// A consumer, and what it brings.
pub(super) struct Subscription {
    context: jetstream::Context,
    /// The consumer's name.
    consumer: String,
    messages: pull::Stream,
    /// The line over which it was agreed.
    generation: u64,
    /// Ready when NATS denies a request for messages.
    denied: Pin<Box<dyn Future<Output = Denied> + Send>>,
    /// Of the last message, counted by the consumer; the next has to be the one after it.
    consumer_sequence: u64,
}

impl Subscription {
    /// What comes through `messages`, of the consumer of this name, as long as the line is the one of this `generation`.
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

    /// Whether there was a message.
    pub(super) fn has_brought_something(&self) -> bool {
        self.consumer_sequence > 0
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// The reason why this consumer has to be given up: it has ended, or was skipped over by a message, or the line was
    /// lost.
    pub(super) async fn next(&mut self, line: &mut watch::Receiver<LineState>) -> Result<Received, String> {
        let generation = self.generation;
        tokio::select! {
            biased;
            // A message, or the reason why there will be no more.
            message = self.messages.next() => {
                let message = message.ok_or("the consumer has ended")?.map_err(|error| error.to_string())?;
                let info = message.info().map_err(|error| format!("a message without a position: {error}"))?;
                self.consumer_sequence += 1;
                if info.consumer_sequence != self.consumer_sequence {
                    return Err("a message was lost on the way".into());
                }
                let published = u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default();
                let (sequence, pending) = (info.stream_sequence, info.pending);
                Ok(Received { sequence, published: Duration::from_nanos(published), pending, message })
            }
            // No message will come.
            denied = &mut self.denied => Err(denied.to_string()),
            // The line was lost, or is already another one.
            state = line.wait_for(|state| !state.connected || state.generation != generation) => {
                let trouble = state.ok().and_then(|state| state.trouble.clone());
                Err(trouble.unwrap_or_else(|| "the connection to NATS was made anew".into()))
            }
        }
    }

    /// Takes the consumer out of `stream`. A server that cannot be reached forgets it by itself.
    pub(super) async fn close(self, stream: &str) {
        let deleted = self.context.delete_consumer_from_stream(&self.consumer, stream);
        tokio::time::timeout(CLOSING, deleted).await.ok();
    }
}
