//! The NATS permissions that the service needs, with the configuration in `deploy/nats`.

use std::io::Write as _;

use async_nats::{ConnectOptions, jetstream::stream};
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::{
    eventually,
    nats::Nats,
    program::server_with,
    service::{Service, token},
};

const PERMISSIONS: &str = include_str!("../../deploy/nats/permissions.conf");
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("OCIS_EVENTS_AUTH_USERNAME", "ocis-sse"), ("OCIS_EVENTS_AUTH_PASSWORD", "ours")];

fn platform() -> ConnectOptions {
    ConnectOptions::with_user_and_password("platform".into(), "theirs".into())
}

/// Starts a server that gives the service all permissions of the file but one, and the platform all permissions.
pub(crate) async fn nats_without(permission: &str) -> (Nats, TempDir) {
    let line = format!("\"{permission}\"");
    assert!(permission.is_empty() || PERMISSIONS.matches(&line).count() == 1, "{permission}");
    // An empty list would allow everything.
    nats_with(&PERMISSIONS.replace(&line, "\"none\"")).await
}

/// Starts a server that gives the service all permissions of the file and `more` permissions to publish.
pub(crate) async fn nats_permitting(more: &str) -> (Nats, TempDir) {
    nats_with(&PERMISSIONS.replacen("allow: [", &format!("allow: [ {more}"), 1)).await
}

async fn nats_with(permissions: &str) -> (Nats, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
        path
    };
    write("permissions.conf", permissions);
    let configuration = write(
        "nats.conf",
        r#"authorization { users = [
            { user: "platform", password: "theirs" }
            { user: "ocis-sse", password: "ours", permissions: { include "permissions.conf" } }
        ] }"#,
    );
    let nats = Nats::start_with(&["-c", configuration.to_str().expect("Unicode")], platform).await;
    (nats, folder)
}

/// Creates the queue, as the platform does.
async fn with_queue(nats: &Nats) {
    nats.publisher().await.jetstream.create_stream(queue()).await.expect("a queue");
}

fn queue() -> stream::Config {
    stream::Config {
        name: "main-queue".into(),
        subjects: vec!["main-queue".into()],
        ..stream::Config::default()
    }
}

#[tokio::test]
async fn documented_permissions_are_enough() {
    let (nats, _folder) = nats_without("").await;
    let mut first = Service::start(&nats, &CREDENTIALS).await;
    let mut second = Service::start(&nats, &CREDENTIALS).await;
    let tab = [("x-request-id", "tab")];
    let mut stream = first.follow_with("einstein", &tab).await;
    first.choose("einstein", "de").await;
    second.has_choice("einstein", serde_json::json!("de")).await;
    assert_eq!(stream.next().await.expect("a comment").0, ": language de\n\n");
    nats.publisher().await.event(&["einstein"], "t", "1").await;
    assert_eq!(stream.content().await, "1");
    first.stop();
    first.stopped().await;
    drop(stream);
    // The first instance has left a bookmark in the bucket.
    let mut stream = second.follow_with("einstein", &tab).await;
    assert_eq!(stream.content().await, "1");
    second.stop();
    second.stopped().await;
    assert_eq!(nats.logged("Violation"), [""; 0]);
}

#[tokio::test]
async fn missing_permission_is_named_by_readiness() {
    let permissions = [
        "$JS.API.STREAM.INFO.main-queue",
        "$JS.API.CONSUMER.CREATE.main-queue.>",
        "$JS.API.CONSUMER.MSG.NEXT.main-queue.>",
        "$JS.API.STREAM.INFO.KV_service-registry",
        "$JS.API.STREAM.CREATE.KV_service-registry",
        "$JS.API.INFO",
        "$KV.service-registry.>",
    ];
    // At once, because each waits for several attempts.
    join_all(permissions.map(async |permission| {
        let (nats, _folder) = nats_without(permission).await;
        with_queue(&nats).await;
        let service = Service::start_unready(&nats, &CREDENTIALS);
        let named = permission.trim_end_matches('>');
        eventually(permission, async || {
            let (status, text) = service.readiness().await;
            status == 503 && text.contains("NATS does not permit") && text.contains(named)
        })
        .await;
        // The state is stable during several attempts.
        eventually("several attempts", async || {
            assert_eq!(service.readiness().await.0, 503, "{permission}");
            nats.logged(named).len() >= 4
        })
        .await;
    }))
    .await;
}

#[tokio::test]
async fn reply_permission_can_be_granted_later() {
    let (nats, folder) = nats_without("_INBOX.>").await;
    with_queue(&nats).await;
    let service = Service::start_unready(&nats, &CREDENTIALS);
    let reason = "NATS does not permit Subscription to \"_INBOX.>\"";
    eventually("named", async || service.readiness().await.1.contains(reason)).await;
    // The state is stable during several attempts.
    eventually("several attempts", async || {
        let (status, text) = service.readiness().await;
        assert!(status == 503 && text.contains(reason), "{status} {text}");
        nats.logged("Violation").len() >= 4
    })
    .await;
    std::fs::write(folder.path().join("permissions.conf"), PERMISSIONS).expect("written");
    nats.reload();
    service.is_ready().await;
}

/// The server can limit the number of messages per request.
#[tokio::test]
async fn small_request_limit_is_respected() {
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = folder.path().join("nats.conf");
    let limits = "jetstream { limits: { max_request_batch: 3 } }";
    std::fs::write(&configuration, limits).expect("written");
    let arguments = ["-c", configuration.to_str().expect("Unicode")];
    let nats = Nats::start_with(&arguments, ConnectOptions::new).await;
    let service = Service::start(&nats, &[]).await;
    let mut stream = service.follow("einstein").await;
    let contents: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    nats.publisher().await.events(&["einstein"], "t", contents.iter().cloned()).await;
    for content in contents {
        assert_eq!(stream.content().await, content);
    }
    assert_eq!(service.readiness().await.0, 200);
}

#[tokio::test]
async fn existing_queue_needs_no_create_permission() {
    let (nats, _folder) = nats_without("$JS.API.STREAM.CREATE.main-queue").await;
    let service = Service::start_unready(&nats, &CREDENTIALS);
    eventually("named", async || service.readiness().await.1.contains("STREAM.CREATE.main-queue")).await;
    with_queue(&nats).await;
    service.is_ready().await;
}

#[tokio::test]
async fn missing_bucket_permission_is_logged() {
    let permissions = [
        "$JS.API.STREAM.INFO.KV_sse-resume",
        "$JS.API.STREAM.CREATE.KV_sse-resume",
        "$JS.API.CONSUMER.CREATE.KV_sse-resume",
        "$KV.sse-resume.>",
        "$JS.API.STREAM.INFO.KV_sse-languages",
        "$JS.API.CONSUMER.CREATE.KV_sse-languages",
    ];
    // At once, because each waits for several attempts.
    join_all(permissions.map(async |permission| {
        let (nats, _folder) = nats_without(permission).await;
        with_queue(&nats).await;
        let mut program = server_with(&nats, &CREDENTIALS);
        let (http, _) = program.logged_addresses().await;
        let headers = [("x-access-token", &*token("einstein")), ("x-request-id", "tab")];
        let mut stream = crate::client::Stream::open(http, "/sse", &headers).await;
        nats.publisher().await.event(&["einstein"], "t", "1").await;
        assert_eq!(stream.content().await, "1", "{permission}");
        drop(stream);
        let named = permission.trim_end_matches('>');
        loop {
            let line = program.error_line().await.expect("one more line");
            if line.contains("NATS does not permit") && line.contains(named) {
                break;
            }
        }
    }))
    .await;
}
