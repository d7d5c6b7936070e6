//! What our key-value buckets in JetStream have in common.

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

/// Waits until NATS is connected.
pub(super) async fn client(connection: &Connection) -> Result<Client, async_nats::Error> {
    let mut line = connection.state.clone();
    let state = line.wait_for(|state| state.client.is_some() && state.connected).await?;
    Ok(state.client.clone().ok_or("there is no line")?)
}

/// What a bucket may hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Of all entries together, if they are limited. When there are more, the oldest are removed.
    pub(super) total_bytes: Option<i64>,
    /// Of one entry.
    pub(super) value_bytes: i32,
    /// An older entry is removed; zero for none.
    pub(super) age: Duration,
}

/// A bucket on the disk of NATS, so that a restart of NATS loses nothing of it. (A bucket is a stream in which each subject has one
/// message. The client's own way of making one has no choice of what goes when it is full.)
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

/// Opens the bucket. It is made when it is missing, and gets the limits of `config` when it has others, as one of an older version.
pub(super) async fn open(
    connection: &Connection,
    client: Client,
    config: &Config,
) -> Result<Store, async_nats::Error> {
    let (context, denials) = (jetstream::new(client), &connection.denials);
    let stream = denials.permitted(&config.name, context.get_or_create_stream(config.clone())).await?;
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
            // It must not be longer than the age.
            duplicate_window: if config.max_age.is_zero() { window } else { window.min(config.max_age) },
            ..present.clone()
        };
        if let Err(error) = denials.permitted(&config.name, context.update_stream(&limited)).await {
            // It can be used all the same.
            warn!(bucket = config.name, %error, "limits of a bucket cannot be changed");
        }
    }
    let name = config.name.strip_prefix("KV_").unwrap_or(&config.name);
    Ok(context.get_key_value(name).await?)
}

/// As a part of a key. The characters of a key are few; base32 has no other, and no dot.
pub(super) fn encode(text: &str) -> String {
    BASE32_NOPAD.encode(text.as_bytes())
}

/// What [`encode`] has made a part of a key of; none when it was another.
pub(super) fn decode(part: &str) -> Option<String> {
    String::from_utf8(BASE32_NOPAD.decode(part.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_form_can_be_part_of_a_key() {
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
