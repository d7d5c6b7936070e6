//! Reads the platform's service registry.

use std::time::Duration;

use async_nats::{Error, jetstream};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use ports::outbound::{BusFault, RegisteredInstance, RegistryProbe};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    super::{
        connection::Connection,
        key_value::{self, REGISTRY},
    },
    bus::fault,
};

/// Timeout for reading the registry.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The permissions that reading the registry needs.
const PERMISSIONS: &str =
    "$JS.API.CONSUMER.CREATE.KV_service-registry and $JS.API.DIRECT.GET.KV_service-registry.>";

/// A reader of the registry.
pub struct KeyValueRegistryProbe {
    connection: Connection,
}

impl KeyValueRegistryProbe {
    /// Creates a reader that uses `connection`.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone() }
    }

    async fn read(&self) -> Result<Vec<RegisteredInstance>, Error> {
        let context = jetstream::new(key_value::client(&self.connection).await?);
        let bucket = context.get_key_value(REGISTRY).await?;
        let keys: Vec<String> = bucket.keys().await?.try_collect().await?;
        let mut instances = Vec::new();
        for key in keys {
            // An entry may have expired meanwhile.
            if let Some(entry) = bucket.get(&key).await? {
                instances.extend(decode(&entry));
            }
        }
        Ok(instances)
    }
}

#[async_trait]
impl RegistryProbe for KeyValueRegistryProbe {
    async fn instances(&self) -> Result<Vec<RegisteredInstance>, BusFault> {
        let read = self.connection.denials.unless_denied(REGISTRY, self.read());
        if let Ok(instances) = timeout(TIMEOUT, read).await {
            return instances.map_err(|error| fault(&error));
        }
        let reason = self.connection.state.borrow().error.clone();
        Err(BusFault::Failed(
            reason.unwrap_or_else(|| format!("no reply within {} seconds", TIMEOUT.as_secs())),
        ))
    }

    fn permissions(&self) -> &'static str {
        PERMISSIONS
    }
}

/// The value of a key, as go-micro writes it.
#[derive(Deserialize)]
struct Entry {
    data: String,
}

/// A service with its instances.
#[derive(Deserialize)]
struct Service {
    name: String,
    #[serde(default)]
    nodes: Vec<Node>,
}

/// An instance.
#[derive(Deserialize)]
struct Node {
    address: String,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    /// `true` or absent.
    use_tls: Option<String>,
}

/// Returns the instances of an entry. An entry that is not go-micro's has none.
fn decode(entry: &[u8]) -> Vec<RegisteredInstance> {
    let service = serde_json::from_slice::<Entry>(entry)
        .ok()
        .and_then(|entry| STANDARD.decode(entry.data).ok())
        .and_then(|data| serde_json::from_slice::<Service>(&data).ok());
    let Some(Service { name, nodes }) = service else { return Vec::new() };
    let instance = |node: Node| RegisteredInstance {
        service: name.clone(),
        address: node.address,
        uses_tls: node.metadata.and_then(|metadata| metadata.use_tls).as_deref() == Some("true"),
    };
    nodes.into_iter().map(instance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_entry_is_decoded() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../tests/wire/service-registry.json"))
                .expect("JSON");
        let decoded = decode(file["entry"]["value"].to_string().as_bytes());
        let expected = RegisteredInstance {
            service: "eu.opencloud.sse.sse".into(),
            address: "127.0.0.1:9135".into(),
            uses_tls: false,
        };
        assert_eq!(decoded, [expected]);
    }

    #[test]
    fn foreign_entry_has_no_instance() {
        for entry in ["", "null", "{}", r#"{"data":"-"}"#, r#"{"data":"e30="}"#] {
            assert_eq!(decode(entry.as_bytes()), [], "{entry}");
        }
    }
}
