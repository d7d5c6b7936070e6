//! Registration of the service for the platform's proxy.

use std::time::Duration;

use adapters::outbound::nats::{KeyValueRegistry, Node};
use async_nats::jetstream::{kv, stream::StorageType};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use ports::{obligations, outbound::ServiceRegistry as _};
use serde_json::Value;

use crate::{
    DEADLINE, buckets::connection_to, client, eventually, nats::Nats, program::server_with, proxy::Proxy,
    service::Service, transport::service_at,
};

async fn bucket(nats: &Nats) -> Option<kv::Store> {
    nats.publisher().await.jetstream.get_key_value("service-registry").await.ok()
}

/// Returns the data of each entry, as the proxy reads it.
pub(crate) async fn entries(nats: &Nats) -> Vec<Value> {
    let Some(bucket) = bucket(nats).await else { return Vec::new() };
    let keys: Vec<String> = bucket.keys().await.expect("keys").try_collect().await.expect("keys");
    let mut entries = Vec::new();
    for key in keys {
        let value = bucket.get(&key).await.expect("readable").expect("an entry");
        let value: Value = serde_json::from_slice(&value).expect("JSON");
        let data = STANDARD.decode(value["data"].as_str().expect("base64")).expect("base64");
        entries.push(serde_json::from_slice(&data).expect("JSON"));
    }
    entries
}

fn registry(address: &str) -> KeyValueRegistry {
    let node = Node { service: "s".into(), version: "1".into(), address: "127.0.0.1:80".into(), tls: false };
    KeyValueRegistry::new(&connection_to(address), &node, Duration::from_secs(30))
}

#[tokio::test]
async fn registry_meets_obligations() {
    let nats = Nats::start().await;
    let instance = || registry(&nats.address());
    let tested = obligations::service_registry(instance, async || entries(&nats).await.len());
    tokio::time::timeout(DEADLINE, tested).await.expect("in time");
}

#[tokio::test]
async fn unavailable_registry_meets_obligations() {
    let nats = Nats::start().await;
    let proxy = Proxy::to(nats.address().parse().expect("an address")).await;
    let registry = registry(&proxy.address.to_string());
    registry.announce().await.expect("announced");
    proxy.blackhole(true);
    proxy.cut();
    let tested = obligations::service_registry_out_of_reach(&registry, async || proxy.blackhole(false));
    tokio::time::timeout(DEADLINE, tested).await.expect("in time");
}

#[tokio::test]
async fn regular_start_logs_no_warning() {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_LOG_LEVEL", "warn")]);
    eventually("an entry", async || entries(&nats).await.len() == 1).await;
    program.terminate();
    assert_eq!(program.status().await, Some(0));
    assert_eq!(program.error_line().await, None);
}

#[tokio::test]
async fn service_is_registered_exactly_while_it_serves() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[]).await;
    eventually("an entry", async || entries(&nats).await.len() == 1).await;
    let entry = entries(&nats).await.remove(0);
    assert_eq!(entry["name"], "com.owncloud.sse.sse");
    assert_eq!(entry["nodes"][0]["address"], service.http.to_string());

    let bucket = bucket(&nats).await.expect("a bucket");
    let config = &bucket.stream.cached_info().config;
    assert_eq!(config.max_age, Duration::from_secs(30));
    assert_eq!(config.max_messages_per_subject, 1);
    assert_eq!(config.storage, StorageType::Memory);

    service.stop();
    service.stopped().await;
    assert!(entries(&nats).await.is_empty());
}

#[tokio::test]
async fn two_instances_have_two_named_entries() {
    let nats = Nats::start().await;
    let opencloud =
        [("SSE_SERVICE_NAME", "eu.opencloud.sse.sse"), ("SSE_HTTP_ADVERTISE_ADDR", "sse.example:80")];
    let _one = Service::start(&nats, &opencloud).await;
    let _other = Service::start(&nats, &[("SSE_HTTP_ADDR", "0.0.0.0:0")]).await;
    eventually("two entries", async || entries(&nats).await.len() == 2).await;
    let entries = entries(&nats).await;
    let address = |name: &str| {
        let entry = entries.iter().find(|entry| entry["name"] == name).expect("an entry");
        entry["nodes"][0]["address"].as_str().expect("a text").to_owned()
    };
    assert_eq!(address("eu.opencloud.sse.sse"), "sse.example:80");
    let own = service_at(address("com.owncloud.sse.sse").parse().expect("an address"));
    assert_eq!(client::get(own, "/sse", &[]).await.status, 401, "{own} can be reached");
}

#[tokio::test]
async fn instance_is_not_ready_before_registration() {
    let mut nats = Nats::start().await;
    let service = Service::start(&nats, &[]).await;
    assert_eq!(entries(&nats).await.len(), 1);
    for _ in 0..3 {
        nats.kill().await;
        eventually("not ready", async || service.readiness().await.0 == 503).await;
        nats.up().await;
        // The restart has lost the entries, which NATS keeps in memory.
        service.is_ready().await;
        assert_eq!(entries(&nats).await.len(), 1);
    }
    nats.publisher().await.jetstream.delete_key_value("service-registry").await.expect("deleted");
    eventually("an entry again", async || entries(&nats).await.len() == 1).await;
}

#[tokio::test]
async fn entry_has_the_platforms_lifetime() {
    let nats = Nats::start().await;
    let settings = [("EXPERIMENTAL_REGISTER_TTL", "10s"), ("EXPERIMENTAL_REGISTER_INTERVAL", "100ms")];
    let _service = Service::start(&nats, &settings).await;
    eventually("an entry", async || entries(&nats).await.len() == 1).await;
    let mut bucket = bucket(&nats).await.expect("a bucket");
    assert_eq!(bucket.stream.cached_info().config.max_age, Duration::from_secs(10));
    let renewed = async || bucket.stream.info().await.expect("known").state.last_sequence > 3;
    eventually("renewed", renewed).await;
}

/// The platform can create the bucket first, with another lifetime of entries.
#[tokio::test]
async fn entry_is_renewed_within_the_buckets_max_age() {
    let nats = Nats::start().await;
    let config = kv::Config {
        bucket: "service-registry".into(),
        max_age: Duration::from_secs(1),
        ..kv::Config::default()
    };
    let mut bucket = nats.publisher().await.jetstream.create_key_value(config).await.expect("a bucket");
    let _service = Service::start(&nats, &[]).await;
    let renewed = async || bucket.stream.info().await.expect("known").state.last_sequence > 3;
    eventually("renewed", renewed).await;
}

#[tokio::test]
async fn registration_can_be_disabled() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[("MICRO_REGISTRY", "memory")]).await;
    service.stop();
    service.stopped().await;
    assert!(bucket(&nats).await.is_none());
}
