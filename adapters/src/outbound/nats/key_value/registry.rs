//! The platform's service registry: a bucket of go-micro in which the platform's proxy finds this instance.

use std::time::Duration;

use async_nats::{
    Error,
    jetstream::{
        self,
        context::RequestErrorKind,
        kv::{self, Store},
        stream::StorageType,
    },
};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use data_encoding::BASE32;
use parking_lot::Mutex;
use ports::outbound::{RegistryUnavailable, ServiceRegistry};
use serde_json::json;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{
    super::connection::{Connection, ConnectionState},
    bucket::{CHECK_INTERVAL, REPLY_TIMEOUT},
};

/// The name of the bucket, and the prefix of each key in it.
pub(in crate::outbound::nats) const REGISTRY: &str = "service-registry";

/// An instance of a service, as the registry describes it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name of the service, by which the platform's proxy finds it.
    pub service: String,
    /// The version of the service.
    pub version: String,
    /// The address of the instance: host and port.
    pub address: String,
    /// Whether the instance expects TLS.
    pub tls: bool,
}

/// The registry, and one entry in it.
pub struct KeyValueRegistry {
    connection: Connection,
    key: String,
    entry: String,
    max_age: Duration,
    last_attempt: Mutex<Attempt>,
}

/// The last attempt to write the entry.
#[derive(Clone, Default)]
struct Attempt {
    /// The connection of the attempt, and whether it was established.
    generation: u64,
    connected: bool,
    /// The bucket, if the attempt has succeeded.
    bucket: Option<Store>,
}

impl KeyValueRegistry {
    /// Creates the entry of `node`, with a new id. If the bucket is missing, it is created with the lifetime `max_age` for entries.
    #[must_use]
    pub fn new(connection: &Connection, node: &Node, max_age: Duration) -> Self {
        let (key, entry) = encode_entry(node, Uuid::new_v4());
        Self { connection: connection.clone(), key, entry, max_age, last_attempt: Mutex::default() }
    }

    /// Opens the bucket and creates it if it is missing.
    async fn bucket(&self) -> Result<Store, Error> {
        let mut state = self.connection.state.clone();
        // The first connection may still be in progress. That is not an error.
        let settled =
            state.wait_for(|state| state.error.is_some() || state.client.is_some() && state.connected);
        let state = settled.await?.clone();
        let ConnectionState { generation, connected, .. } = state;
        *self.last_attempt.lock() = Attempt { generation, connected, bucket: None };
        let Some(client) = state.client.filter(|_| state.connected) else {
            return Err(state.error.unwrap_or_default().into());
        };
        let context = jetstream::new(client);
        if let Ok(bucket) = context.get_key_value(REGISTRY).await {
            return Ok(bucket);
        }
        let config = kv::Config {
            bucket: REGISTRY.into(),
            history: 1,
            max_age: self.max_age,
            storage: StorageType::Memory,
            ..kv::Config::default()
        };
        Ok(context.create_key_value(config).await?)
    }

    async fn put(&self) -> Result<Store, Error> {
        let bucket = self.bucket().await?;
        bucket.put(&self.key, self.entry.clone().into()).await?;
        Ok(bucket)
    }

    async fn delete(&self) -> Result<(), Error> {
        Ok(self.bucket().await?.delete(&self.key).await?)
    }

    /// Returns the reply to a request about the bucket, or the denial of NATS.
    async fn unless_denied<T>(
        &self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, RegistryUnavailable> {
        let reply = self.connection.denials.unless_denied(REGISTRY, request).await;
        reply.map_err(|error| RegistryUnavailable { reason: error.to_string() })
    }
}

#[async_trait]
impl ServiceRegistry for KeyValueRegistry {
    async fn announce(&self) -> Result<Duration, RegistryUnavailable> {
        let bucket = self.unless_denied(self.put()).await?;
        // The platform may have created the bucket, with another lifetime.
        let max_age = bucket.stream.cached_info().config.max_age;
        self.last_attempt.lock().bucket = Some(bucket);
        Ok(if max_age.is_zero() { Duration::MAX } else { max_age })
    }

    async fn changed(&self) {
        let Attempt { generation, connected, bucket } = self.last_attempt.lock().clone();
        let mut state = self.connection.state.clone();
        tokio::select! {
            // The connection was lost or restored. NATS keeps the bucket in memory, so a restart loses the entry.
            _ = state.wait_for(|state| (state.generation, state.connected) != (generation, connected)) => {}
            () = recreated(bucket) => {}
        }
    }

    async fn withdraw(&self) -> Result<(), RegistryUnavailable> {
        self.unless_denied(self.delete()).await
    }
}

/// Waits until the bucket is deleted or recreated.
async fn recreated(bucket: Option<Store>) {
    let Some(Store { stream, .. }) = bucket else { return std::future::pending().await };
    let created = stream.cached_info().created;
    loop {
        sleep(CHECK_INTERVAL).await;
        match timeout(REPLY_TIMEOUT, stream.get_info()).await {
            Ok(Ok(info)) if info.created != created => return,
            // Usually NATS has replied that the bucket does not exist. After any other error, announcing again is harmless.
            Ok(Err(error)) if error.kind() == RequestErrorKind::Other => return,
            _ => {}
        }
    }
}

/// Returns the key and the value of the entry, as the NATS registry of go-micro writes them.
fn encode_entry(node: &Node, id: Uuid) -> (String, String) {
    let Node { service, version, address, tls } = node;
    let key = format!("{service}@{id}@{version}");
    let mut metadata = json!({ "broker": "NoOp", "protocol": "http", "registry": "cache", "server": "http" });
    if *tls {
        metadata["use_tls"] = "true".into();
    }
    let data = json!({
        "name": service, "version": version, "metadata": null, "endpoints": null,
        "nodes": [{ "metadata": metadata, "id": format!("{service}-{id}"), "address": address }],
    });
    let value = json!({ "key": key, "data": STANDARD.encode(data.to_string()), "metadata": null });
    // A key allows few characters. Base32 uses only these.
    (BASE32.encode(format!("{REGISTRY}_{key}").as_bytes()), value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn entry_equals_the_captured_one() {
        let file: Value =
            serde_json::from_str(include_str!("../../../../../tests/wire/service-registry.json"))
                .expect("JSON");
        let node = Node {
            service: "eu.opencloud.sse.sse".into(),
            version: "0.1.0+dev".into(),
            address: "127.0.0.1:9135".into(),
            tls: false,
        };
        let id = "53a9bdb3-2603-4c24-b382-e1a625fe669c".parse().expect("a UUID");
        let decoded = |value: &str| {
            let mut value: Value = serde_json::from_str(value).expect("JSON");
            let data = STANDARD.decode(value["data"].take().as_str().expect("base64")).expect("base64");
            (value, serde_json::from_slice::<Value>(&data).expect("JSON"))
        };
        let (key, value) = encode_entry(&node, id);
        let captured = &file["entry"];
        assert_eq!(key, captured["key"]);
        assert_eq!(decoded(&value), decoded(&captured["value"].to_string()));

        let (_, with_tls) = encode_entry(&Node { tls: true, ..node }, id);
        assert_eq!(decoded(&with_tls).1["nodes"][0]["metadata"]["use_tls"], "true");
    }
}
