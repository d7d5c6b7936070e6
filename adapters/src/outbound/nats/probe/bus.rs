//! Tests of what the service needs from NATS.

use std::{error::Error as _, time::Duration};

use async_nats::{
    Error, HeaderMap,
    header::NATS_EXPECTED_STREAM,
    jetstream::{
        self, ErrorCode,
        consumer::{Consumer, pull},
        context::{GetStreamErrorKind, PublishError},
        stream::Stream,
    },
};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{identity::UserId, notification::EventType};
use futures_util::StreamExt as _;
use ports::outbound::{BusFault, BusProbe, StoreTest};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::super::{
    connection::Connection,
    key_value::{BOOKMARKS, PREFERENCES},
    permissions::Denied,
    position::Start,
    queue,
};

/// Timeout of each operation.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The stream that a test of a permission to write expects. It does not exist, so that NATS stores nothing.
const NO_STREAM: &str = "ocis-sse-doctor";

/// A probe of NATS, over the connection that the service would use.
pub struct JetStreamProbe {
    connection: Connection,
}

impl JetStreamProbe {
    /// Creates a probe that uses `connection`.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone() }
    }

    /// Returns the client.
    fn context(&self) -> Result<jetstream::Context, BusFault> {
        let client = self.connection.state.borrow().client.clone();
        client.map(jetstream::new).ok_or_else(|| BusFault::Failed("not connected".into()))
    }

    /// Returns the outcome of `operation`, which is about the stream or bucket `name`.
    async fn attempt<T>(
        &self,
        name: &str,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, BusFault> {
        match timeout(TIMEOUT, self.connection.denials.unless_denied(name, operation)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(fault(&error)),
            Err(_) => Err(BusFault::Failed(format!("no reply within {} seconds", TIMEOUT.as_secs()))),
        }
    }

    /// Reads the queue as the service does, after its last message.
    async fn test_queue(&self) -> Result<(), BusFault> {
        let context = self.context()?;
        let (queue, consumer) = self.consumer(&context).await?;
        let read = async {
            // Requests one message and does not wait for it.
            let mut messages = consumer.fetch().max_messages(1).messages().await?;
            messages.next().await.transpose()?;
            Ok(())
        };
        let read = self.attempt(queue::NAME, read).await;
        let deleted = self
            .attempt(queue::NAME, async { Ok(queue.delete_consumer(&consumer.cached_info().name).await?) });
        read.and(deleted.await.map(drop))
    }

    /// Creates a consumer of the queue, as the service does.
    async fn consumer(
        &self,
        context: &jetstream::Context,
    ) -> Result<(Stream, Consumer<pull::Config>), BusFault> {
        let created = async {
            let queue = stream(context, queue::NAME).await?;
            let next = queue.cached_info().state.last_sequence + 1;
            let consumer = queue::consumer(&queue, Start::Sequence(next)).await?;
            Ok((queue, consumer))
        };
        self.attempt(queue::NAME, created).await
    }

    /// Watches a bucket as the service does, and tests whether the service may write to it.
    async fn test_bucket(&self, name: &str) -> Result<(), BusFault> {
        let context = self.context()?;
        let opened = async {
            stream(&context, &format!("KV_{name}")).await?;
            context.get_key_value(name).await?.watch_all().await?;
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_STREAM, NO_STREAM);
            let subject = format!("$KV.{name}.{NO_STREAM}");
            let stored = context.publish_with_headers(subject, headers, "".into()).await?.await;
            match stored {
                // NATS has read the header, so it permits the subject.
                Err(error) if names_another_stream(&error) => Ok(()),
                Err(error) => Err(error.into()),
                Ok(_) => Err("a write that had to fail was stored".into()),
            }
        };
        Box::pin(self.attempt(name, opened)).await
    }
}

#[async_trait]
impl BusProbe for JetStreamProbe {
    async fn connect(&self) -> Result<String, BusFault> {
        let mut state = self.connection.state.clone();
        let settled =
            state.wait_for(|state| state.error.is_some() || state.client.is_some() && state.connected);
        let state = match timeout(TIMEOUT, settled).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(error)) => return Err(BusFault::Failed(error.to_string())),
            Err(_) => {
                return Err(BusFault::Failed(format!("no answer within {} seconds", TIMEOUT.as_secs())));
            }
        };
        match state.client.filter(|_| state.connected) {
            Some(client) => Ok(format!("NATS {}", client.server_info().version)),
            None => Err(BusFault::Failed(state.error.unwrap_or_default())),
        }
    }

    async fn stores(&self) -> Vec<StoreTest> {
        vec![
            StoreTest { name: queue::NAME, is_optional: false, outcome: self.test_queue().await },
            StoreTest { name: BOOKMARKS, is_optional: true, outcome: self.test_bucket(BOOKMARKS).await },
            StoreTest { name: PREFERENCES, is_optional: true, outcome: self.test_bucket(PREFERENCES).await },
        ]
    }

    async fn unix_time(&self) -> Result<Duration, BusFault> {
        let context = self.context()?;
        let (queue, consumer) = self.consumer(&context).await?;
        let info = consumer.cached_info();
        self.attempt(queue::NAME, async { Ok(queue.delete_consumer(&info.name).await?) }).await?;
        Ok(Duration::from_nanos(u64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default()))
    }

    async fn publish(&self, user: &UserId, event_type: &EventType, content: &str) -> Result<(), BusFault> {
        let jetstream = self.context()?;
        let message = encode(user, event_type, content);
        let stored = async {
            jetstream.publish(queue::NAME, message.into()).await?.await?;
            Ok(())
        };
        self.attempt(queue::NAME, stored).await
    }
}

/// Returns whether NATS has rejected a message because it expects another stream.
fn names_another_stream(error: &PublishError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>());
    cause.is_some_and(|cause| cause.error_code() == ErrorCode::STREAM_NOT_MATCH)
}

/// Opens a stream.
async fn stream(context: &jetstream::Context, name: &str) -> Result<Stream, Error> {
    context.get_stream(name).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            BusFault::Missing.into()
        }
        _ => error.into(),
    })
}

/// Returns the fault that `error` describes.
pub(super) fn fault(error: &Error) -> BusFault {
    if let Some(fault) = error.downcast_ref::<BusFault>() {
        return fault.clone();
    }
    match error.downcast_ref::<Denied>() {
        Some(denied) => BusFault::Denied(denied.to_string()),
        None => BusFault::Failed(error.to_string()),
    }
}

/// Returns a `SendSSE` event in its envelope, as the platform's services publish it.
fn encode(user: &UserId, event_type: &EventType, content: &str) -> String {
    let event = json!({
        "UserIDs": [user.as_str()], "Type": event_type.as_str(), "Message": STANDARD.encode(content),
    });
    let id = Uuid::new_v4().to_string();
    json!({
        "ID": id, "Topic": queue::NAME, "Payload": STANDARD.encode(event.to_string()),
        "Metadata": { "eventid": id, "eventtype": "events.SendSSE", "initiatorid": "", "traceparent": "" },
        "Timestamp": "1970-01-01T00:00:00Z",
    })
    .to_string()
}
