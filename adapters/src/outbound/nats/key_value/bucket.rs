//! Common parts of the buckets of this service.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::Store,
        stream::{Config, DiscardPolicy, StorageType},
    },
};
use data_encoding::BASE32_NOPAD;
use tracing::warn;

use super::super::connection::Connection;

/// Timeout for one reply of NATS.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of checks that a bucket was not deleted or recreated.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until NATS is connected. Returns the client.
pub(in crate::outbound::nats) async fn client(connection: &Connection) -> Result<Client, async_nats::Error> {
    let mut state = connection.state.clone();
    let state = state.wait_for(|state| state.client.is_some() && state.connected).await?;
    Ok(state.client.clone().ok_or("not connected")?)
}

/// The limits of a bucket.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Maximum size of all entries, in bytes. The oldest are removed first. None means no limit.
    pub(super) total_bytes: Option<i64>,
    /// Maximum size of one entry, in bytes.
    pub(super) value_bytes: i32,
    /// Maximum age of an entry. Zero means no limit.
    pub(super) age: Duration,
}

/// Returns the configuration of a bucket on disk, which survives a restart of NATS. A bucket is a stream in which each subject has one
/// message. The bucket configuration of the client cannot choose which entries are removed when the bucket is full.
pub(super) fn config(name: &str, description: &str, limits: Limits) -> Config {
    Config {
        name: format!("KV_{name}"),
        description: Some(description.into()),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_bytes: limits.total_bytes.unwrap_or(-1),
        max_message_size: limits.value_bytes,
        max_age: limits.age,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas: 1,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// Opens the bucket and creates it if it is missing. If its limits differ, as those of an older version, they are set to those of `config`.
pub(super) async fn open(
    connection: &Connection,
    client: Client,
    config: &Config,
) -> Result<Store, async_nats::Error> {
    let (context, denials) = (jetstream::new(client), &connection.denials);
    let stream = denials.unless_denied(&config.name, context.get_or_create_stream(config.clone())).await?;
    let present = &stream.cached_info().config;
    let limits =
        |config: &Config| (config.max_bytes, config.max_message_size, config.max_age, config.discard);
    if limits(present) != limits(config) {
        let window = present.duplicate_window;
        let limited = Config {
            max_bytes: config.max_bytes,
            max_message_size: config.max_message_size,
            max_age: config.max_age,
            discard: config.discard,
            // The server requires that it is not longer than the age.
            duplicate_window: if config.max_age.is_zero() { window } else { window.min(config.max_age) },
            ..present.clone()
        };
        if let Err(error) = denials.unless_denied(&config.name, context.update_stream(&limited)).await {
            // The bucket can be used nevertheless.
            warn!(bucket = config.name, %error, "cannot change the limits of a bucket");
        }
    }
    let name = config.name.strip_prefix("KV_").unwrap_or(&config.name);
    Ok(context.get_key_value(name).await?)
}

/// Encodes a text as a part of a key, in base32. A key allows few characters; base32 uses only these, and no dot.
pub(super) fn encode(text: &str) -> String {
    BASE32_NOPAD.encode(text.as_bytes())
}

/// Decodes a part of a key. Returns none if [`encode`] did not create it.
pub(super) fn decode(part: &str) -> Option<String> {
    String::from_utf8(BASE32_NOPAD.decode(part.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_can_be_part_of_a_key() {
        assert_eq!(encode("a"), "ME");
        for text in
            ["a", "müller@example.org", "a.b", "*", ">", " ", "", "A", "4c510ada-c86b-4815-8820-42cdf82c3d51"]
        {
            let part = encode(text);
            assert!(part.chars().all(|c| c.is_ascii_alphanumeric()), "{part}");
            assert_eq!(decode(&part).as_deref(), Some(text));
        }
        for part in ["me", "1", "M", "é", "74======"] {
            assert_eq!(decode(part), None, "{part}");
        }
    }
}
