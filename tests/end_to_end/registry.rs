//! How the gateway finds the service.

use adapters::outbound::nats::{KeyValueRegistry, Node};
use async_nats::jetstream::{kv, stream::StorageType};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use ports::{obligations, outbound::ServiceRegistry as _};
use serde_json::Value;

use crate::{
    PATIENCE, buckets::connection_to, client, eventually, line::service_at, nats::Nats, program::server_with,
    proxy::Proxy, service::Service,
};

async fn bucket(nats: &Nats) -> Option<kv::Store> {
    nats.publisher().await.jetstream.get_key_value("service-registry").await.ok()
}

/// What the gateway would read: each entry's data.
async fn entries(nats: &Nats) -> Vec<Value> {
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
    KeyValueRegistry::new(&connection_to(address), &node)
}

#[tokio::test]
async fn registry_meets_the_obligations_of_its_port() {
    let nats = Nats::start().await;
    let instance = || registry(&nats.address());
    let tested = obligations::service_registry(instance, async || entries(&nats).await.len());
    tokio::time::timeout(PATIENCE, tested).await.expect("in time");
}

#[tokio::test]
async fn registry_out_of_reach_meets_the_obligations_of_its_port() {
    let nats = Nats::start().await;
    let proxy = Proxy::to(nats.address().parse().expect("an address")).await;
    let registry = registry(&proxy.address.to_string());
    registry.announce().await.expect("announced");
    proxy.blackhole(true);
    proxy.cut();
    let tested = obligations::service_registry_out_of_reach(&registry, async || proxy.blackhole(false));
    tokio::time::timeout(PATIENCE, tested).await.expect("in time");
}

#[tokio::test]
async fn a_start_with_everything_in_its_place_warns_of_nothing() {
    let nats = Nats::start().await;
    let mut program = server_with(&nats, &[("SSE_LOG_LEVEL", "warn")]);
    eventually("an entry", async || entries(&nats).await.len() == 1).await;
    program.terminate();
    assert_eq!(program.status().await, Some(0));
    assert_eq!(program.error_line().await, None);
}

#[tokio::test]
async fn the_gateway_finds_it_while_it_serves_and_no_longer() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[]).await;
    eventually("an entry", async || entries(&nats).await.len() == 1).await;
    let entry = entries(&nats).await.remove(0);
    assert_eq!(entry["name"], "com.owncloud.sse.sse");
    assert_eq!(entry["nodes"][0]["address"], service.http.to_string());

    let bucket = bucket(&nats).await.expect("a bucket");
    let config = &bucket.stream.cached_info().config;
    assert_eq!(config.max_age, std::time::Duration::from_secs(30));
    assert_eq!(config.max_messages_per_subject, 1);
    assert_eq!(config.storage, StorageType::Memory);

    service.stop();
    service.stopped().await;
    assert!(entries(&nats).await.is_empty());
}

#[tokio::test]
async fn two_instances_have_two_entries_under_the_names_they_were_given() {
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
async fn the_entry_is_made_again_after_the_bus_was_away() {
    let mut nats = Nats::start().await;
    let _service = Service::start(&nats, &[]).await;
    eventually("an entry", async || entries(&nats).await.len() == 1).await;
    nats.kill().await;
    nats.up().await;
    assert!(entries(&nats).await.is_empty(), "it was in memory");
    eventually("an entry again", async || entries(&nats).await.len() == 1).await;
}

#[tokio::test]
async fn it_stays_away_from_the_registry_when_told_so() {
    let nats = Nats::start().await;
    let mut service = Service::start(&nats, &[("MICRO_REGISTRY", "memory")]).await;
    service.stop();
    service.stopped().await;
    assert!(bucket(&nats).await.is_none());
}
