//! The NATS buckets that instances share, with failures of NATS and of the buckets.

use std::time::Duration;

use adapters::outbound::nats::{
    KeyValueBookmarks, KeyValuePreferences,
    connection::{Connection, Encryption, Servers, connect},
};
use async_nats::{
    ConnectOptions,
    jetstream::{
        kv,
        stream::{Config, DiscardPolicy, StorageType},
    },
};
use futures_util::TryStreamExt as _;
use ports::obligations;
use serde_json::json;

use crate::{
    DEADLINE, eventually,
    nats::{Nats, Publisher},
    resume::{expect_numbers, publish},
    service::Service,
};

/// Shortens the unacknowledged window of a stream, so that events of a few seconds ago count as received.
const SETTINGS: [(&str, &str); 2] = [("SSE_TCP_USER_TIMEOUT", "1s"), ("SSE_WRITE_TIMEOUT", "1s")];
const TAB: [(&str, &str); 1] = [("x-request-id", "8a1c0bfe-tab")];

fn connection(nats: &Nats) -> Connection {
    connection_to(&nats.address())
}

/// Opens a connection to NATS as an instance does.
pub(crate) fn connection_to(address: &str) -> Connection {
    let addresses = vec![address.parse().expect("an address")];
    connect(Servers { addresses, credentials: None, encryption: Encryption::None })
}

#[tokio::test]
async fn bookmarks_meet_obligations() {
    let nats = Nats::start().await;
    let instance = async || KeyValueBookmarks::new(&connection(&nats), Duration::from_mins(2));
    tokio::time::timeout(DEADLINE, obligations::bookmark_exchange(instance)).await.expect("in time");
}

#[tokio::test]
async fn languages_meet_obligations() {
    let nats = Nats::start().await;
    let instance = async || KeyValuePreferences::new(&connection(&nats));
    tokio::time::timeout(DEADLINE, obligations::language_preferences(instance)).await.expect("in time");
}

#[tokio::test]
async fn deleted_bookmarks_meet_obligations() {
    let nats = Nats::start().await;
    let instance = async || KeyValueBookmarks::new(&connection(&nats), Duration::from_mins(2));
    let lose = async || {
        nats.publisher().await.jetstream.delete_key_value("sse-resume").await.expect("deleted");
    };
    let tested = obligations::bookmark_exchange_that_is_lost(instance, lose);
    tokio::time::timeout(DEADLINE, tested).await.expect("in time");
}

#[tokio::test]
async fn deleted_languages_meet_obligations() {
    let nats = Nats::start().await;
    let instance = async || KeyValuePreferences::new(&connection(&nats));
    let lose = async || {
        nats.publisher().await.jetstream.delete_key_value("sse-languages").await.expect("deleted");
    };
    let tested = obligations::language_preferences_that_are_lost(instance, lose);
    tokio::time::timeout(DEADLINE, tested).await.expect("in time");
}

/// Creates the bucket of an older version, in memory and without a limit.
async fn older_bucket(publisher: &Publisher) {
    let older = kv::Config {
        bucket: "sse-resume".into(),
        max_age: Duration::from_mins(10),
        storage: StorageType::Memory,
        ..kv::Config::default()
    };
    publisher.jetstream.create_key_value(older).await.expect("made");
}

async fn config(publisher: &Publisher, bucket: &str) -> Config {
    let stream = publisher.jetstream.get_stream(format!("KV_{bucket}")).await.expect("the bucket");
    stream.cached_info().config.clone()
}

/// Returns the number of bookmarks in the bucket.
async fn bookmarks(publisher: &Publisher) -> u64 {
    match publisher.jetstream.get_stream("KV_sse-resume").await {
        Ok(stream) => stream.cached_info().state.messages,
        Err(_) => 0,
    }
}

impl Service {
    /// Opens a stream as a tab, reads these events and closes it.
    async fn reads_as_a_tab(&self, publisher: &Publisher, contents: std::ops::Range<u32>) {
        let mut stream = self.follow_with("einstein", &TAB).await;
        publish(publisher, contents.clone()).await;
        expect_numbers(&mut stream, contents).await;
        drop(stream);
        self.has_connections(0).await;
    }

    /// Reopens the stream of the tab, which gets the events it has missed.
    async fn resumes_the_tab(&self, contents: std::ops::Range<u32>) {
        expect_numbers(&mut self.follow_with("einstein", &TAB).await, contents).await;
    }

    async fn restarted(mut self, nats: &Nats) -> Self {
        self.stop();
        self.stopped().await;
        Self::start(nats, &SETTINGS).await
    }

    async fn has_both_buckets(&self) {
        for bucket in ["sse-resume", "sse-languages"] {
            self.counts(&format!("sse_bucket_unavailable{{bucket=\"{bucket}\"}}"), 0).await;
        }
    }
}

async fn restart(nats: &mut Nats, service: Option<&Service>) {
    nats.kill().await;
    if let Some(service) = service {
        eventually("not ready", async || service.readiness().await.0 == 503).await;
    }
    nats.up().await;
    if let Some(service) = service {
        service.is_ready().await;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Before,
    Between,
    After,
}

/// Restarts NATS before, between or after the stop and the start of the service.
async fn keeps_bookmarks(moment: Moment) {
    let mut nats = Nats::start().await;
    let service = Service::start(&nats, &SETTINGS).await;
    let publisher = nats.publisher().await;
    service.reads_as_a_tab(&publisher, 0..3).await;
    // A bookmark that is published while NATS is being killed would be lost.
    eventually("published", async || bookmarks(&publisher).await == 1).await;
    if moment == Moment::Before {
        restart(&mut nats, Some(&service)).await;
    }
    let mut service = service;
    service.stop();
    service.stopped().await;
    if moment == Moment::Between {
        restart(&mut nats, None).await;
    }
    publish(&nats.publisher().await, 3..6).await;
    let service = Service::start(&nats, &SETTINGS).await;
    if moment == Moment::After {
        restart(&mut nats, Some(&service)).await;
    }
    service.resumes_the_tab(0..6).await;
}

#[tokio::test]
async fn keep_bookmarks_if_nats_restarts_before_service() {
    keeps_bookmarks(Moment::Before).await;
}

#[tokio::test]
async fn keep_bookmarks_if_nats_restarts_without_service() {
    keeps_bookmarks(Moment::Between).await;
}

#[tokio::test]
async fn keep_bookmarks_if_nats_restarts_after_service() {
    keeps_bookmarks(Moment::After).await;
}

/// The bucket of an older version is lost with NATS, and the instance publishes its bookmarks again.
#[tokio::test]
async fn are_refilled_after_loss_with_nats() {
    let mut nats = Nats::start().await;
    older_bucket(&nats.publisher().await).await;
    let service = Service::start(&nats, &SETTINGS).await;
    let publisher = nats.publisher().await;
    eventually("limits", async || config(&publisher, "sse-resume").await.max_bytes > 0).await;
    service.reads_as_a_tab(&publisher, 0..3).await;
    eventually("published", async || bookmarks(&publisher).await == 1).await;
    restart(&mut nats, Some(&service)).await;
    let publisher = nats.publisher().await;
    eventually("published again", async || bookmarks(&publisher).await == 1).await;
    assert_eq!(config(&publisher, "sse-resume").await.storage, StorageType::File);
    // New bookmarks are published as well.
    let mut other = service.follow_with("einstein", &[("x-request-id", "other-tab")]).await;
    publish(&publisher, 3..4).await;
    expect_numbers(&mut other, 3..4).await;
    let service = service.restarted(&nats).await;
    publish(&publisher, 4..6).await;
    service.resumes_the_tab(0..6).await;
    let mut other = service.follow_with("einstein", &[("x-request-id", "other-tab")]).await;
    expect_numbers(&mut other, 3..6).await;
}

#[tokio::test]
async fn are_refilled_after_deletion_of_bookmarks() {
    let nats = Nats::start().await;
    let service = Service::start(&nats, &SETTINGS).await;
    let other = Service::start(&nats, &SETTINGS).await;
    let publisher = nats.publisher().await;
    service.reads_as_a_tab(&publisher, 0..3).await;
    eventually("published", async || bookmarks(&publisher).await == 1).await;
    publisher.jetstream.delete_key_value("sse-resume").await.expect("deleted");
    eventually("published again", async || bookmarks(&publisher).await == 1).await;
    let next = Service::start(&nats, &SETTINGS).await;
    publish(&publisher, 3..6).await;
    next.resumes_the_tab(0..6).await;
    next.has_connections(0).await;
    other.resumes_the_tab(0..6).await;
    service.has_both_buckets().await;
}

#[tokio::test]
async fn deleted_languages_are_forgotten() {
    let nats = Nats::start().await;
    let [one, two] = [Service::start(&nats, &[]).await, Service::start(&nats, &[]).await];
    for user in ["einstein", "marie"] {
        one.choose(user, "de").await;
        two.has_choice(user, json!("de")).await;
    }
    let publisher = nats.publisher().await;
    publisher.jetstream.delete_key_value("sse-languages").await.expect("deleted");
    one.choose("einstein", "fr").await;
    two.has_choice("einstein", json!("fr")).await;
    for service in [&one, &two] {
        service.has_choice("marie", json!(null)).await;
    }
    two.choose("marie", "it").await;
    one.has_choice("marie", json!("it")).await;
    one.has_choice("einstein", json!("fr")).await;
}

/// The same happens after the clock of NATS was set back by an hour.
#[tokio::test]
async fn accept_a_choice_with_an_older_clock() {
    let nats = Nats::start().await;
    let [one, two] = [Service::start(&nats, &[]).await, Service::start(&nats, &[]).await];
    let publisher = nats.publisher().await;
    let bucket = publisher.jetstream.get_key_value("sse-languages").await.expect("the bucket");
    // The entry that the service stores for a choice in the profile.
    let later = json!({ "language": "sv", "made": { "secs": 4_000_000_000_u64, "nanos": 0 } });
    let key = data_encoding::BASE32_NOPAD.encode(b"einstein");
    bucket.put(key, later.to_string().into()).await.expect("put");
    for service in [&one, &two] {
        service.has_choice("einstein", json!("sv")).await;
    }
    for (service, other, language) in [(&one, &two, "de"), (&two, &one, "fr"), (&two, &one, "de")] {
        service.choose("einstein", language).await;
        assert_eq!(service.language("einstein").await, language);
        other.has_choice("einstein", json!(language)).await;
    }
    let next = Service::start(&nats, &[]).await;
    next.has_choice("einstein", json!("de")).await;
}

#[tokio::test]
async fn lose_the_oldest_bookmarks_when_full() {
    let nats = Nats::start().await;
    older_bucket(&nats.publisher().await).await;
    let service = Service::start(&nats, &SETTINGS).await;
    let publisher = nats.publisher().await;
    let limits = async || {
        let config = config(&publisher, "sse-resume").await;
        (config.max_bytes, config.max_age, config.discard)
    };
    let expected = (32 << 20, Duration::from_mins(2), DiscardPolicy::Old);
    eventually("limits", async || limits().await == expected).await;
    let value = bytes::Bytes::from(vec![b' '; 8_000]);
    let mut stored = Vec::new();
    for number in 0..5_000 {
        let subject = format!("$KV.sse-resume.flood.{number}");
        stored.push(publisher.jetstream.publish(subject, value.clone()).await.expect("published"));
        if stored.len() == 500 {
            for acknowledgement in stored.drain(..) {
                acknowledgement.await.expect("stored");
            }
        }
    }
    service.reads_as_a_tab(&publisher, 0..3).await;
    let bucket = publisher.jetstream.get_key_value("sse-resume").await.expect("the bucket");
    eventually("the newest", async || {
        let keys: Vec<_> = bucket.keys().await.expect("keys").try_collect().await.expect("keys");
        let has = |key: &str| keys.iter().any(|one| one == key);
        !has("flood.0") && has("flood.4999") && keys.iter().any(|key| !key.starts_with("flood"))
    })
    .await;
    let service = service.restarted(&nats).await;
    service.resumes_the_tab(0..3).await;
}

/// NATS neither answers requests for the bucket nor reports an error.
#[tokio::test]
async fn do_not_delay_streams_when_unavailable() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = directory.path().join("nats.conf");
    let permissions = r#"
        no_auth_user: all
        authorization { users: [ { user: all, password: all, permissions: {
            publish: { deny: ["$JS.API.STREAM.*.KV_sse-resume", "$JS.API.STREAM.*.KV_sse-languages"] }
        } } ] }"#;
    std::fs::write(&configuration, permissions).expect("written");
    let arguments = ["-c", configuration.to_str().expect("Unicode")];
    let nats = Nats::start_with(&arguments, ConnectOptions::new).await;
    let service = Service::start(&nats, &SETTINGS).await;
    let mut stream = service.follow_with("einstein", &TAB).await;
    publish(&nats.publisher().await, 0..3).await;
    expect_numbers(&mut stream, 0..3).await;
    for bucket in ["sse-resume", "sse-languages"] {
        service.counts(&format!("sse_bucket_unavailable{{bucket=\"{bucket}\"}}"), 1).await;
    }
}

#[tokio::test]
async fn are_reported_unavailable_until_recreated() {
    let mut nats = Nats::start().await;
    let service = Service::start(&nats, &SETTINGS).await;
    service.has_both_buckets().await;
    nats.kill().await;
    service.counts("sse_bucket_unavailable{bucket=\"sse-resume\"}", 1).await;
    service.counts("sse_bucket_unavailable{bucket=\"sse-languages\"}", 1).await;
    nats.up().await;
    service.has_both_buckets().await;
}
