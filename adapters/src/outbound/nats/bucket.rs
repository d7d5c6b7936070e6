//! What the key-value buckets of ours have in common.

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::{self, Store},
    },
};
use data_encoding::BASE32_NOPAD;

use super::connection::Connection;

/// Waits until there is a line.
pub(super) async fn client(connection: &Connection) -> Result<Client, async_nats::Error> {
    let mut line = connection.state.clone();
    let state = line.wait_for(|state| state.client.is_some() && state.connected).await?;
    Ok(state.client.clone().ok_or("there is no line")?)
}

/// The bucket, which is made when it is missing.
pub(super) async fn open(client: Client, config: kv::Config) -> Result<Store, async_nats::Error> {
    let context = jetstream::new(client);
    match context.get_key_value(&config.bucket).await {
        Ok(bucket) => Ok(bucket),
        Err(_) => Ok(context.create_key_value(config).await?),
    }
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
