//! The stream that the platform's services share (`main-queue`), and consumers of it.

use std::time::Duration;

use async_nats::{
    Error,
    jetstream::{
        self,
        consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
        context::GetStreamErrorKind,
        stream::{Config, ConsumerLimits, RetentionPolicy, StorageType, Stream},
    },
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::position::Start;

/// The name of the stream, and of its only subject.
pub(super) const NAME: &str = "main-queue";
/// Delay before a deleted stream is recreated. Its administrator may recreate it meanwhile. The server needs time as well: a stream that is
/// created while the previous one is still being deleted may store nothing (measured with nats-server 2.15).
const RECREATE_DELAY: Duration = Duration::from_secs(2);
/// Time without a request after which the server deletes a consumer, so that a killed process leaves none behind. It is longer than the
/// relay pauses after a batch. If the stream allows less, a consumer may be deleted during a pause; it is then recreated.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(15);
/// Interval of heartbeats from the server. The consumer is recreated after two missed ones.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Maximum number of messages in a request.
const BATCH_MESSAGES: usize = 500;
/// Maximum number of bytes in a request, unless the server allows larger messages.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Opens the stream and creates it if it is missing. If it `existed` before, it was deleted, and is recreated after [`RECREATE_DELAY`].
pub(super) async fn open(context: &jetstream::Context, existed: bool) -> Result<Stream, Error> {
    match context.get_stream(NAME).await {
        Ok(queue) => return Ok(queue),
        Err(error) if !matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => return Err(error.into()),
        Err(_) => {}
    }
    if existed {
        tokio::time::sleep(RECREATE_DELAY).await;
    }
    let config = Config {
        name: NAME.into(),
        subjects: vec![NAME.into()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        ..Config::default()
    };
    Ok(context.get_or_create_stream(config).await?)
}

/// Creates a consumer that delivers the messages from `start` on.
pub(super) async fn consumer(queue: &Stream, start: Start) -> Result<Consumer<pull::Config>, Error> {
    let deliver_policy = match start {
        Start::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        Start::Time(time) => DeliverPolicy::ByStartTime { start_time: timestamp(time)? },
    };
    let config = pull::Config {
        name: Some(format!("ocis-sse-{}", Uuid::new_v4())),
        description: Some("ocis-sse: pushes events to browsers".into()),
        deliver_policy,
        ack_policy: AckPolicy::None,
        inactive_threshold: inactive_threshold(queue.cached_info().config.consumer_limits.as_ref()),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    Ok(queue.create_consumer(config).await?)
}

/// Returns the time without a request after which the server deletes a consumer, within the limits of the stream.
fn inactive_threshold(limits: Option<&ConsumerLimits>) -> Duration {
    match limits {
        Some(limits) if !limits.inactive_threshold.is_zero() => {
            INACTIVE_THRESHOLD.min(limits.inactive_threshold)
        }
        _ => INACTIVE_THRESHOLD,
    }
}

/// Returns the messages of the consumer. The server allows messages of up to `max_message_bytes`.
pub(super) async fn messages(
    consumer: &Consumer<pull::Config>,
    max_message_bytes: usize,
) -> Result<pull::Stream, Error> {
    let messages = consumer
        .stream()
        .max_messages_per_batch(batch_messages(consumer.cached_info().config.max_batch))
        // A message that is larger than the requested bytes would never be delivered.
        .max_bytes_per_batch(BATCH_BYTES.max(max_message_bytes.saturating_mul(2)))
        .heartbeat(HEARTBEAT);
    Ok(messages.messages().await?)
}

/// Returns the number of messages in a request, if the server allows `max_batch`. Zero or less means no limit.
fn batch_messages(max_batch: i64) -> usize {
    match usize::try_from(max_batch) {
        Ok(max_batch) if max_batch > 0 => BATCH_MESSAGES.min(max_batch),
        _ => BATCH_MESSAGES,
    }
}

/// Converts a time to the type of the NATS client.
fn timestamp(unix_time: Duration) -> Result<OffsetDateTime, Error> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::try_from(unix_time.as_nanos())?)?)
}
