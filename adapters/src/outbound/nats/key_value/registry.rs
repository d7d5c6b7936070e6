//! The platform's service registry: a go-micro entry in a key-value bucket of JetStream, by which the gateway finds us.

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

use super::super::connection::{Connection, LineState};

/// The bucket, which is also what each key in it begins with.
const BUCKET: &str = "service-registry";

/// What the gateway is told.
#[derive(Clone, Debug)]
pub struct Node {
    /// The service's name, which the gateway looks for.
    pub service: String,
    /// The service's version.
    pub version: String,
    /// Where this instance is: host and port.
    pub address: String,
    /// Whether it expects TLS.
    pub tls: bool,
}

/// How often it is checked that the bucket is still the same: so soon it is noticed that it was deleted or recreated.
const CHECK: Duration = Duration::from_secs(5);
/// The time for one answer of NATS.
const ANSWER: Duration = Duration::from_secs(2);

/// The registry, and one entry in it.
pub struct KeyValueRegistry {
    connection: Connection,
    key: String,
    entry: String,
    max_age: Duration,
    last: Mutex<Attempt>,
}

/// How it was last tried to put the entry.
#[derive(Clone, Default)]
struct Attempt {
    /// The connection that it was tried with, and whether it was there.
    generation: u64,
    connected: bool,
    /// The bucket, if it was found.
    bucket: Option<Store>,
}

impl KeyValueRegistry {
    /// An entry for `node`, under an id of its own. When the bucket is missing, it is made so that the server drops an entry that was not put
    /// again for `max_age`.
    #[must_use]
    pub fn new(connection: &Connection, node: &Node, max_age: Duration) -> Self {
        let (key, entry) = encode(node, Uuid::new_v4());
        Self { connection: connection.clone(), key, entry, max_age, last: Mutex::default() }
    }

    /// The bucket, which is made when it is missing.
    async fn bucket(&self) -> Result<Store, Error> {
        let mut line = self.connection.state.clone();
        // At first it is being made, which is no reason to complain.
        let known =
            line.wait_for(|state| state.trouble.is_some() || state.client.is_some() && state.connected);
        let state = known.await?.clone();
        let LineState { generation, connected, .. } = state;
        *self.last.lock() = Attempt { generation, connected, bucket: None };
        let Some(client) = state.client.filter(|_| state.connected) else {
            return Err(state.trouble.unwrap_or_default().into());
        };
        let context = jetstream::new(client);
        if let Ok(bucket) = context.get_key_value(BUCKET).await {
            return Ok(bucket);
        }
        let config = kv::Config {
            bucket: BUCKET.into(),
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

    /// The answer of NATS to what is asked about the bucket.
    async fn permitted<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, RegistryUnavailable> {
        let answer = self.connection.denials.permitted(BUCKET, answer).await;
        answer.map_err(|error| RegistryUnavailable { reason: error.to_string() })
    }
}

#[async_trait]
impl ServiceRegistry for KeyValueRegistry {
    async fn announce(&self) -> Result<Duration, RegistryUnavailable> {
        let bucket = self.permitted(self.put()).await?;
        // The platform may have made the bucket, with another age.
        let max_age = bucket.stream.cached_info().config.max_age;
        self.last.lock().bucket = Some(bucket);
        Ok(if max_age.is_zero() { Duration::MAX } else { max_age })
    }

    async fn changed(&self) {
        let Attempt { generation, connected, bucket } = self.last.lock().clone();
        let mut line = self.connection.state.clone();
        tokio::select! {
            // NATS is away, and with it what it had in memory; or it is there again.
            _ = line.wait_for(|state| (state.generation, state.connected) != (generation, connected)) => {}
            () = recreated(bucket) => {}
        }
    }

    async fn withdraw(&self) -> Result<(), RegistryUnavailable> {
        self.permitted(self.delete()).await
    }
}

/// Waits until the bucket is another one, or gone.
async fn recreated(bucket: Option<Store>) {
    let Some(Store { stream, .. }) = bucket else { return std::future::pending().await };
    let created = stream.cached_info().created;
    loop {
        sleep(CHECK).await;
        match timeout(ANSWER, stream.get_info()).await {
            Ok(Ok(info)) if info.created != created => return,
            // Mostly NATS has answered that there is no such bucket; if it was something else, to announce once more does no harm.
            Ok(Err(error)) if error.kind() == RequestErrorKind::Other => return,
            _ => {}
        }
    }
}

/// The key and the value, as go-micro's registry over NATS has them.
fn encode(node: &Node, id: Uuid) -> (String, String) {
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
    // The characters of a key are few; base32 has no other.
    (BASE32.encode(format!("{BUCKET}_{key}").as_bytes()), value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_entry_is_what_was_captured() {
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
        let (key, value) = encode(&node, id);
        let captured = &file["entry"];
        assert_eq!(key, captured["key"]);
        assert_eq!(decoded(&value), decoded(&captured["value"].to_string()));

        let (_, with_tls) = encode(&Node { tls: true, ..node }, id);
        assert_eq!(decoded(&with_tls).1["nodes"][0]["metadata"]["use_tls"], "true");
    }
}
