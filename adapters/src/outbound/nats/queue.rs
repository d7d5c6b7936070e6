//! The queue of the platform's services, and what it takes to read it.

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

/// The name of the stream, and of its one subject.
pub(super) const NAME: &str = "main-queue";
/// A queue that has been deleted is left for so long to whoever deleted it, who may make another. It is also long enough for the server: a
/// stream that is made while the one before is still being deleted may exist and store nothing (measured with nats-server 2.15).
const DELETION: Duration = Duration::from_secs(2);
/// The server forgets a consumer that nobody has asked for anything for so long: none is left behind when we are killed. It is longer than
/// the relay pauses behind a batch; where the queue allows less, a consumer that was forgotten meanwhile is made again.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(15);
/// The server says at least so often that it is there; after two silences the consumer is made again.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How many messages are asked for at a time …
const BATCH_MESSAGES: usize = 500;
/// … and how many bytes, unless the server lets a single message be larger.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The queue, which is made when it is missing. If it `was_there` before, it has just been deleted then.
pub(super) async fn open(context: &jetstream::Context, was_there: bool) -> Result<Stream, Error> {
    match context.get_stream(NAME).await {
        Ok(queue) => return Ok(queue),
        Err(error) if !matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => return Err(error.into()),
        Err(_) => {}
    }
    if was_there {
        tokio::time::sleep(DELETION).await;
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

/// A consumer that delivers from `start` on.
pub(super) async fn consumer(queue: &Stream, start: Start) -> Result<Consumer<pull::Config>, Error> {
    let deliver_policy = match start {
        Start::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        Start::Time(time) => DeliverPolicy::ByStartTime { start_time: date(time)? },
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

/// For how long nobody has to ask a consumer for anything before the server forgets it, when the queue has these limits.
fn inactive_threshold(limits: Option<&ConsumerLimits>) -> Duration {
    match limits {
        Some(limits) if !limits.inactive_threshold.is_zero() => {
            INACTIVE_THRESHOLD.min(limits.inactive_threshold)
        }
        _ => INACTIVE_THRESHOLD,
    }
}

/// What the consumer delivers, when the largest message of the server has so many bytes.
pub(super) async fn messages(
    consumer: &Consumer<pull::Config>,
    largest_message: usize,
) -> Result<pull::Stream, Error> {
    let messages = consumer
        .stream()
        .max_messages_per_batch(batch_messages(consumer.cached_info().config.max_batch))
        // A message larger than all that was asked for would never come.
        .max_bytes_per_batch(BATCH_BYTES.max(largest_message.saturating_mul(2)))
        .heartbeat(HEARTBEAT);
    Ok(messages.messages().await?)
}

/// How many messages are asked for at a time, when the server allows `max_batch`; zero and less is no limit.
fn batch_messages(max_batch: i64) -> usize {
    match usize::try_from(max_batch) {
        Ok(max_batch) if max_batch > 0 => BATCH_MESSAGES.min(max_batch),
        _ => BATCH_MESSAGES,
    }
}

/// As NATS takes times.
fn date(unix_time: Duration) -> Result<OffsetDateTime, Error> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::try_from(unix_time.as_nanos())?)?)
}
