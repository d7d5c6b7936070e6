//! Limits in the configuration of NATS and of its queue.

use std::time::Duration;

use async_nats::{
    ConnectOptions,
    jetstream::{consumer::pull, stream},
};
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use crate::{
    client::Stream,
    eventually,
    nats::Nats,
    program::server_with,
    service::{Service, token},
};

/// A nats-server with limits.
struct Limited {
    nats: Nats,
    folder: TempDir,
}

impl Limited {
    /// Starts a server with these limits in its configuration.
    async fn new(limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nats.conf");
        std::fs::write(&path, limits).expect("written");
        let arguments = ["-c", path.to_str().expect("Unicode")];
        Self { nats: Nats::start_with(&arguments, ConnectOptions::new).await, folder }
    }

    /// Starts a server whose only account has these JetStream limits.
    async fn account(limits: &str) -> Self {
        Self::new(&account(limits)).await
    }

    /// Replaces the limits and reloads the configuration.
    fn change(&self, limits: &str) {
        std::fs::write(self.folder.path().join("nats.conf"), limits).expect("written");
        self.nats.reload();
    }
}

fn account(limits: &str) -> String {
    let user = "users: [{ user: anybody, password: anything }]";
    format!("no_auth_user: anybody\naccounts {{ PLATFORM {{ jetstream: {{ {limits} }}, {user} }} }}")
}

fn queue() -> stream::Config {
    stream::Config {
        name: "main-queue".into(),
        subjects: vec!["main-queue".into()],
        ..stream::Config::default()
    }
}

/// Checks that the service is not ready for this reason during several attempts.
async fn stays_unready(service: &Service, nats: &Nats, reason: &str) {
    eventually(reason, async || service.readiness().await.1.contains(reason)).await;
    let errors =
        async || nats.publisher().await.jetstream.query_account().await.expect("known").requests.errors;
    let before = errors().await;
    eventually("several attempts", async || {
        let (status, body) = service.readiness().await;
        assert!(status == 503 && body.contains(reason), "{status} {body}");
        errors().await >= before + 3
    })
    .await;
}

#[tokio::test]
async fn consumer_keeps_the_limits_of_its_queue() {
    let nats = Nats::start().await;
    let two_seconds = Duration::from_secs(2);
    let limits = stream::ConsumerLimits { inactive_threshold: two_seconds, max_ack_pending: 1 };
    let publisher = nats.publisher().await;
    let config = stream::Config { consumer_limits: Some(limits), ..queue() };
    let queue = publisher.jetstream.create_stream(config).await.expect("a queue");
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    let contents: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    publisher.events(&["einstein"], "t", contents.iter().cloned()).await;
    for content in contents {
        assert_eq!(stream.content().await, content);
    }
    let consumers: Vec<_> = queue.consumers().try_collect().await.expect("known");
    let thresholds: Vec<_> = consumers.iter().map(|consumer| consumer.config.inactive_threshold).collect();
    assert_eq!(thresholds, [two_seconds]);
}

#[tokio::test]
async fn consumer_limit_is_reported_until_lifted() {
    let nats = Nats::start().await;
    let config = stream::Config { max_consumers: 1, ..queue() };
    let queue = nats.publisher().await.jetstream.create_stream(config).await.expect("a queue");
    let other = pull::Config { durable_name: Some("other".into()), ..pull::Config::default() };
    queue.create_consumer(other).await.expect("a consumer");
    let service = Service::start_unready(&nats, &[]);
    stays_unready(&service, &nats, "maximum consumers limit reached").await;
    queue.delete_consumer("other").await.expect("deleted");
    service.is_ready().await;
}

#[tokio::test]
async fn stream_limit_is_reported_until_lifted() {
    let limited = Limited::account("max_streams: 1").await;
    limited.nats.publisher().await.jetstream.create_stream(queue()).await.expect("a queue");
    let service = Service::start_unready(&limited.nats, &[]);
    stays_unready(&service, &limited.nats, "maximum number of streams reached").await;
    limited.change(&account("max_streams: 4"));
    service.is_ready().await;
}

#[tokio::test]
async fn storage_limit_is_logged_and_the_service_runs() {
    let limited = Limited::account("max_store: 1M").await;
    let mut program = server_with(&limited.nats, &[("SSE_LOG_LEVEL", "info")]);
    let (http, debug) = program.logged_addresses().await;
    eventually("ready", async || crate::client::get(debug, "/readyz", &[]).await.status == 200).await;
    let mut stream = Stream::open(http, "/sse", &[("x-access-token", &*token("einstein"))]).await;
    limited.nats.publisher().await.event(&["einstein"], "t", "1").await;
    assert_eq!(stream.content().await, "1");
    let mut logs = async |texts: [&str; 2]| {
        loop {
            let line = program.error_line().await.expect("one more line");
            if texts.iter().all(|text| line.contains(text)) {
                break;
            }
        }
    };
    logs(["bucket unavailable", "insufficient storage resources available"]).await;
    limited.change(&account("max_store: 64M"));
    logs(["bucket available again", "sse-resume"]).await;
}

/// The server allows the request, but not the subscription to its reply.
#[tokio::test]
async fn subscription_limit_is_reported_until_lifted() {
    let mut limited = Limited::new("max_subscriptions: 1").await;
    limited.nats.publisher().await.jetstream.create_stream(queue()).await.expect("a queue");
    let mut program = server_with(&limited.nats, &[("SSE_LOG_LEVEL", "info")]);
    let (_, debug) = program.logged_addresses().await;
    let readiness = async || crate::client::get(debug, "/readyz", &[]).await;
    let reason = "NATS does not permit more subscriptions (max_subscriptions)";
    eventually("named", async || readiness().await.body.contains(reason)).await;
    let rejections = || limited.nats.logged("maximum subscriptions exceeded").len();
    let before = rejections();
    eventually("several attempts", async || {
        let (status, body) = {
            let answer = readiness().await;
            (answer.status, answer.body)
        };
        assert!(status == 503 && body.contains(reason), "{status} {body}");
        rejections() >= before + 2
    })
    .await;
    limited.nats.kill().await;
    std::fs::write(limited.folder.path().join("nats.conf"), "").expect("written");
    limited.nats.up().await;
    eventually("ready", async || readiness().await.status == 200).await;
    program.kill().await;
    let mut times_read = 0;
    while let Some(line) = program.error_line().await {
        times_read += usize::from(line.contains("reading from NATS"));
    }
    // The queue is read before the first rejection and after the last.
    assert!(times_read <= 2, "{times_read}");
}

#[tokio::test]
async fn message_size_limit_affects_only_large_bookmarks() {
    let limited = Limited::new("max_payload: 800").await;
    let publisher = limited.nats.publisher().await;
    publisher.jetstream.create_stream(queue()).await.expect("a queue");
    let mut program = server_with(&limited.nats, &[("SSE_LOG_LEVEL", "info")]);
    let (http, _) = program.logged_addresses().await;
    let (large, small) = ("l".repeat(500), "small");
    for user in [&*large, small] {
        let headers = [("x-access-token", &*token(user)), ("x-request-id", &"r".repeat(200))];
        let mut stream = Stream::open(http, "/sse", &headers).await;
        // The stream has a position when it gets an id.
        while stream.block().await.expect("an id").field("id").is_none() {}
    }
    loop {
        let line = program.error_line().await.expect("one more line");
        if line.contains("bookmarks larger than NATS accepts are not shared with other instances") {
            assert!(!line.contains(&large), "{line}");
            break;
        }
    }
    let bucket = publisher.jetstream.get_stream("KV_sse-resume").await.expect("a bucket");
    eventually("the other bookmark", async || bucket.get_info().await.expect("known").state.messages == 1)
        .await;
    assert_eq!(limited.nats.logged("ERR"), [""; 0]);
}
